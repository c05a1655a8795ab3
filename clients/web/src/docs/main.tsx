import { render } from "preact";
import { TopBar } from "../look/top-bar.js";
import "../look/base.css";

function Docs() {
  return (
    <>
      <TopBar page="docs" />
      <main>The documents.</main>
    </>
  );
}

const root = document.getElementById("app");
if (root) render(<Docs />, root);
