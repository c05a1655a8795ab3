//! Texts as they stand on a connection: tungstenite's frame headers, and the payload behind them.

use std::io::Write;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::{
    Error,
    protocol::frame::{
        FrameHeader,
        coding::{Data, OpCode},
    },
};

/// The longest header of a frame that goes out.
pub const HEAD: usize = 10;
/// The header of a frame of 126 to 65,535 bytes, which most are.
const USUAL_HEAD: usize = 4;

/// Puts each of these texts into a frame, one behind the other.
pub fn texts(texts: &mut dyn Iterator<Item = &[u8]>) -> Bytes {
    let mut frames = Vec::new();
    for text in texts {
        if let Err(error) = write(OpCode::Data(Data::Text), text, &mut frames) {
            unreachable!("writing into memory failed: {error}");
        }
    }
    frames.into()
}

/// Adds a text whose length is known when it is written: it stands behind the room for the usual header, and moves when
/// it needs another one.
pub fn text_of(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
    let start = out.len();
    out.extend_from_slice(&[0; USUAL_HEAD]);
    write(out);
    let mut head = [0; HEAD];
    let mut rest = &mut head[..];
    header(OpCode::Data(Data::Text), out.len() - start - USUAL_HEAD, &mut rest)?;
    let length = HEAD - rest.len();
    let head = &head[..length];
    match head.len() {
        USUAL_HEAD => out[start..start + USUAL_HEAD].copy_from_slice(head),
        _ => drop(out.splice(start..start + USUAL_HEAD, head.iter().copied())),
    }
    Ok(())
}

pub fn write(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    header(opcode, payload.len(), out)?;
    out.extend_from_slice(payload);
    Ok(())
}

fn header(opcode: OpCode, length: usize, out: &mut impl Write) -> Result<(), Error> {
    FrameHeader { opcode, ..FrameHeader::default() }.format(length as u64, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length of header, written in place and written at once.
    #[test]
    fn a_text_is_the_same_frame_however_it_is_made() {
        for length in [0, 1, 125, 126, 127, 1_000, 65_535, 65_536, 300_000] {
            let payload = vec![b'x'; length];
            let (mut made, mut written) = (b"before".to_vec(), b"before".to_vec());
            text_of(&mut made, |out| out.extend_from_slice(&payload)).unwrap();
            write(OpCode::Data(Data::Text), &payload, &mut written).unwrap();
            assert_eq!(made, written, "{length} bytes");
            let both = texts(&mut [&payload[..], &payload[..]].into_iter());
            assert_eq!(both[..], [&written[6..], &written[6..]].concat(), "{length} bytes");
        }
    }
}
