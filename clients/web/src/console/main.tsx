import { render } from "preact";
import { App } from "./app.js";
import { start } from "./session/connection.js";
import { startFollowing } from "./world/worlds.js";
import "../look/base.css";
import "../look/controls.css";
import "./console.css";

const root = document.getElementById("app");
if (root) render(<App />, root);
startFollowing();
void start();
