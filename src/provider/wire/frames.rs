//! Divides the body of an answer into frames, as its bytes come, and keeps no more than one of them.

use super::Trouble;

/// The most that one frame may hold: far more than a piece of text needs.
const MAX_FRAME: usize = 4 << 20;

/// How an answer is divided.
#[derive(Clone, Copy)]
pub(in crate::provider) enum Form {
    /// Server-sent events.
    Events,
    /// Each line is a frame.
    Lines,
}

/// One event, or one line.
#[derive(Debug, Default, PartialEq)]
pub(in crate::provider) struct Frame {
    /// The event's name, if it has one.
    pub name: String,
    pub data: String,
}

pub(in crate::provider) struct Frames {
    form: Form,
    /// What came and was not read; from `at` on.
    bytes: Vec<u8>,
    at: usize,
    /// Up to where no line ends.
    searched: usize,
    /// The event whose lines are being read.
    event: Frame,
    first: bool,
}

impl Frames {
    pub fn new(form: Form) -> Self {
        Self { form, bytes: Vec::new(), at: 0, searched: 0, event: Frame::default(), first: true }
    }

    /// More of the answer. To be followed by [`Frames::next`] until that gives nothing.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.searched -= self.at;
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The answer is over: what is left is a frame, too, for servers that save the last line break.
    pub fn end(&mut self) {
        self.push(b"\n\n");
    }

    /// The next whole frame.
    pub fn next(&mut self) -> Result<Option<Frame>, Trouble> {
        loop {
            let Some(line) = self.line() else {
                let held = self.bytes.len() - self.at + self.event.data.len();
                return if held > MAX_FRAME { Err(Trouble::Garbled("an event without end")) } else { Ok(None) };
            };
            let line = std::str::from_utf8(&self.bytes[line]).map_err(|_| Trouble::Garbled("stream is not UTF-8"))?;
            let line = if self.first { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
            self.first = false;
            match self.form {
                Form::Lines if line.trim().is_empty() => {}
                Form::Lines => return Ok(Some(Frame { name: String::new(), data: line.to_owned() })),
                Form::Events if line.is_empty() => {
                    let event = std::mem::take(&mut self.event);
                    if !event.data.is_empty() {
                        return Ok(Some(event));
                    }
                }
                Form::Events => {
                    self.event.field(line);
                    if self.event.data.len() > MAX_FRAME {
                        return Err(Trouble::Garbled("an event without end"));
                    }
                }
            }
        }
    }

    /// Where the next whole line stands, without its end: LF, CR LF, or CR.
    fn line(&mut self) -> Option<std::ops::Range<usize>> {
        let found = self.bytes[self.searched..].iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let Some(end) = found.map(|found| self.searched + found) else {
            self.searched = self.bytes.len();
            return None;
        };
        let wide = match self.bytes[end..] {
            [b'\r', b'\n', ..] => 2,
            // Whether an LF follows is not known yet.
            [b'\r'] => {
                self.searched = end;
                return None;
            }
            _ => 1,
        };
        let line = self.at..end;
        self.at = end + wide;
        self.searched = self.at;
        Some(line)
    }
}

impl Frame {
    /// Takes in a line of an event.
    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.name),
            // What llama.cpp sends when it fails in the middle.
            "error" => *self = Self { name: "error".to_owned(), data: value.to_owned() },
            // Comments, which have no name, and what is of no use here.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(form: Form, pieces: &[&[u8]]) -> Result<Vec<(String, String)>, Trouble> {
        let (mut frames, mut found) = (Frames::new(form), Vec::new());
        let mut take = |frames: &mut Frames| {
            while let Some(Frame { name, data }) = frames.next()? {
                found.push((name, data));
            }
            Ok(())
        };
        for piece in pieces {
            frames.push(piece);
            take(&mut frames)?;
        }
        frames.end();
        take(&mut frames)?;
        Ok(found)
    }

    #[test]
    fn events_are_read_in_every_form_and_however_they_are_cut_up() {
        for (text, expected) in [
            ("data: a\n\ndata: b\n\n", vec![("", "a"), ("", "b")]),
            ("data:a\r\n\r\ndata: b\r\r", vec![("", "a"), ("", "b")]),
            ("\u{feff}event: x\ndata: a\ndata:  b\n\n", vec![("x", "a\n b")]),
            (": hi\n\nid: 7\nretry: 1\ndata: a\n\n\n\n: bye", vec![("", "a")]),
            ("data: € 🦀\n\ndata: last", vec![("", "€ 🦀"), ("", "last")]),
            ("event: nothing\n\ndata\n\n<html>\n\n", vec![]),
            ("error: {\"code\":5}\n\n", vec![("error", "{\"code\":5}")]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(n, d)| (n.to_owned(), d.to_owned())).collect();
            assert_eq!(all(Form::Events, &[text.as_bytes()]).as_ref(), Ok(&expected), "{text:?} whole");
            let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
            assert_eq!(all(Form::Events, &bytes), Ok(expected), "{text:?} byte by byte");
        }
        let lines = all(Form::Lines, &[b"{1}\n\n{", b"2}\r\n", b"{3}"]).unwrap();
        assert_eq!(lines.into_iter().map(|(_, data)| data).collect::<Vec<_>>(), ["{1}", "{2}", "{3}"]);
    }

    #[test]
    fn what_has_no_end_is_refused_before_it_is_large() {
        let piece = [b'z'; 1 << 16];
        for (form, start, between) in
            [(Form::Events, "data: ", ""), (Form::Events, "data: ", "\ndata: "), (Form::Lines, "{", "")]
        {
            let mut frames = Frames::new(form);
            frames.push(start.as_bytes());
            let pieces = (0..).take_while(|_| {
                frames.push(&piece);
                frames.push(between.as_bytes());
                frames.next() == Ok(None)
            });
            let taken = pieces.count() * piece.len();
            assert!((MAX_FRAME / 2..=MAX_FRAME).contains(&taken), "{taken}");
        }
        let refused = all(Form::Events, &[b"data: \xff\n\n"]);
        assert_eq!(refused, Err(Trouble::Garbled("stream is not UTF-8")));
    }
}
