import type { JSX } from "preact";
import { catalogue } from "./documents.js";
import { Loaded } from "./loaded.js";
import { Prose } from "./prose.js";
import { address, id } from "./route.js";

/** Why the server closes a WebSocket. */
export function CloseCodes(): JSX.Element {
  return (
    <>
      <h1>Close codes</h1>
      <p class="lead">
        The server says with the close code whether to come back. Beside these it uses those of RFC 6455: 1002, 1007 and 1009 for what breaks WebSocket itself.
        A bad frame closes nothing; it gets an <a href={address("messages", "error")}>error</a> frame.
      </p>
      <Loaded load={catalogue}>
        {({ closeCodes }) =>
          closeCodes.map(({ code, name, reconnect, description }) => (
            <section class="card" id={id("close-codes", `${code}`)} tabindex={-1} aria-labelledby={`title-of-${code}`}>
              <h2 id={`title-of-${code}`}>
                <a class="anchor" href={address("close-codes", `${code}`)}>
                  <code>{code}</code> {name.toLowerCase().replaceAll("_", " ")}
                </a>
              </h2>
              <p class="badges">
                <span class={`badge ${reconnect ? "yes" : "no"}`}>{reconnect ? "reconnect" : "do not reconnect"}</span>
              </p>
              <Prose text={description} />
            </section>
          ))
        }
      </Loaded>
    </>
  );
}
