//! Programs that the kit starts: each in a process group of its own, so that all that it starts ends with it.

#[cfg(unix)]
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A command line for the shell.
pub fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    command
}

/// Gives it a process group of its own.
pub fn group(command: &mut Command) {
    #[cfg(unix)]
    command.process_group(0);
    #[cfg(not(unix))]
    let _ = command;
}

/// Signals the group of this process.
pub fn signal(child: &Child, name: &str) {
    // The group has the number of its first process. Every shell can signal; a program that can is not everywhere.
    let _ = shell(&format!("kill -s {name} -- -{}", child.id()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// Ends it and its group at once.
pub fn end(child: &mut Child) {
    signal(child, "KILL");
    let _ = child.kill();
    let _ = child.wait();
}
