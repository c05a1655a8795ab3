import { render } from "preact";
import { TopBar } from "../look/top-bar.js";
import "../look/base.css";

function Console() {
  return (
    <>
      <TopBar page="console" />
      <main>The console.</main>
    </>
  );
}

const root = document.getElementById("app");
if (root) render(<Console />, root);
