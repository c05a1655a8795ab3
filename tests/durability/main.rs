//! Nothing lost, nothing twice: properties of the server under crashes, slow clients, failing disks and failing models.
//! docs/GUARANTEES.md names the test that holds each promise.
//!
//! Each test prints what it counted; `SEED=…` repeats a random one. Longer runs: `KILLS=200`, `TRIALS=100000`,
//! `HOPS=60`, `STEPS=100000`.

mod backup;
mod cancel;
mod corrupt;
mod crash;
mod disk;
mod drain;
mod faults;
mod hop;
mod isolation;
mod keys;
mod model;
mod program;
mod random;
mod resume;
mod seam;
mod slow;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "tests/it uses the rest of it")]
mod support;
mod wire;
