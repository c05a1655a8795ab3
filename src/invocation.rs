//! How this program is called, for hints that can be pasted into a shell.

use std::borrow::Cow;

/// The command line with these arguments: `agent-world chat`, or `cargo run -- chat` for whoever came that way.
pub fn call(arguments: &[&str]) -> String {
    // Cargo names itself in the environment of what it runs.
    written(std::env::var_os("CARGO").is_some(), arguments)
}

fn written(by_cargo: bool, arguments: &[&str]) -> String {
    let program: &[&str] = match (by_cargo, arguments) {
        (true, []) => &["cargo", "run"],
        (true, _) => &["cargo", "run", "--"],
        (false, _) => &["agent-world"],
    };
    program.iter().chain(arguments).map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// A word as a POSIX shell takes it, in quotes only where it needs them.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_called_as_it_was() {
        for (by_cargo, arguments, line) in [
            (true, &[][..], "cargo run"),
            (true, &["chat"], "cargo run -- chat"),
            (false, &[], "agent-world"),
            (false, &["chat", "--token=-a_9"], "agent-world chat --token=-a_9"),
        ] {
            assert_eq!(written(by_cargo, arguments), line);
        }
    }

    #[test]
    fn a_shell_reads_the_words_that_were_meant() {
        let words = ["", "a b", "it's", "$HOME", "`id`", "ws://h/ws?a=1&b=2", "~", "a\nb", r"\", "*", "#", "Grüße"];
        let line = words.map(quoted).join(" ");
        let read = std::process::Command::new("sh").args(["-c", &format!("printf '%s|' {line}")]).output().unwrap();
        assert_eq!(String::from_utf8(read.stdout).unwrap(), words.map(|word| format!("{word}|")).concat());
    }
}
