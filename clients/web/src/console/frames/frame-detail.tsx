import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { go } from "../route.js";
import { CopyButton } from "../ui/copy.js";
import { Icon } from "../ui/icon.js";
import { FoldedProse } from "../ui/prose.js";
import { Annotated } from "./annotated.js";
import { type Schemas, loadSchemas } from "./schema.js";
import { type Taped, tookMs } from "./tape.js";

/** One frame: what it is, what it answers or what answered it, and its content explained. */
export function FrameDetail({ taped, show, close }: { taped: Taped; show: (other: Taped) => void; close: () => void }): JSX.Element {
  const schemas = useSignal<Schemas | undefined>(undefined);
  useEffect(() => {
    loadSchemas().then((loaded) => (schemas.value = loaded), () => undefined);
  }, []);
  const { type, direction, line, seq, size, request, answer } = taped;
  const schema = schemas.value?.frame(type);
  const description = (schemas.value?.member(schema, "payload") ?? schema)?.["description"];
  return (
    <section class="frame-detail" aria-label={`Frame ${taped.n}`}>
      <header>
        <h3>
          <span class={`arrow ${direction}`} aria-hidden="true">
            {direction === "client" ? "↑" : "↓"}
          </span>{" "}
          {type}
        </h3>
        <CopyButton text={() => JSON.stringify(taped.frame, null, 2)} what="frame" />
        {direction === "client" && (
          <button type="button" class="quiet small" onClick={() => go({ panel: "compose", compose: type }, true)}>
            <Icon name="compose" />
            Compose
          </button>
        )}
        <button type="button" class="icon-button" onClick={close} aria-label="Close the frame">
          <Icon name="close" />
        </button>
      </header>
      <div class="scrolls" tabIndex={0} role="region" aria-label="Content of the frame">
        <p class="facts">
          {direction === "client" ? "Sent" : "Received"} at <time>{taped.at}</time> · {size} bytes{seq !== undefined && ` · seq ${seq}`}
          {line === "composer" && " · on the composer's connection"}
        </p>
        {request !== undefined && (
          <p class="facts">
            Answers{" "}
            <button type="button" class="link" onClick={() => show(request)}>
              {request.type}, frame {request.n}
            </button>{" "}
            after {tookMs(taped)} ms
          </p>
        )}
        {answer !== undefined && (
          <p class="facts">
            Answered by{" "}
            <button type="button" class="link" onClick={() => show(answer)}>
              {answer.type}, frame {answer.n}
            </button>{" "}
            after {tookMs(answer)} ms
          </p>
        )}
        {typeof description === "string" && <FoldedProse text={description} />}
        <Annotated frame={taped.frame} kind={type} schemas={schemas.value} />
      </div>
    </section>
  );
}
