//! A server that sends back what comes, over exactly the WebSocket stack and settings of the product: for the Autobahn
//! cases (tests/autobahn/run.sh). It prints its address, and runs until its standard input ends.
//!
//! ```sh
//! cargo run --example echo
//! ```

use std::time::Duration;

use agent_world::{
    Config,
    listen::{Listening, listen},
    shutdown::ShutdownControl,
    ws,
};
use tokio::io::AsyncReadExt;

/// The cases send up to 16 MiB at once; the product reads 64 KiB.
const MAX_FRAME: usize = 64 * 1_024 * 1_024;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = listen(([127, 0, 0, 1], 0).into(), Config::default().send_buffer_bytes)?;
    println!("ws://{}", listener.local_addr()?);
    let (_control, shutdown) = ShutdownControl::new();
    let handshake = Duration::from_secs(10);
    let listening = Listening { listener, router: ws::echo(MAX_FRAME), shutdown, handshake };
    let mut input = tokio::io::stdin();
    tokio::select! {
        () = listening.run() => {}
        _ = async { while input.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {} } => {}
    }
    Ok(())
}
