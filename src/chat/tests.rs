use agent_world::protocol::{ServerMessage, codec};

use super::{
    Screen, URL,
    connection::{beside, websocket},
    visit::Visit,
};

/// What the screen shows of these pieces: (reply, agent, offset, text, how it ended).
fn shown(pieces: &[(u8, &str, usize, &str, &str)]) -> String {
    let mut out = Vec::new();
    let mut screen = Screen::new(&mut out, false);
    for (reply, agent, offset, text, ended) in pieces {
        let mut payload = serde_json::json!({
            "worldName": "w", "agentName": agent, "messageId": id(*reply), "inReplyTo": id(0), "rootId": id(0),
            "content": text, "offset": offset, "complete": !ended.is_empty(),
        });
        if !ended.is_empty() {
            payload["finishReason"] = (*ended).into();
        }
        if *ended == "error" {
            payload["error"] = serde_json::json!({"code": "PROVIDER_ERROR", "message": "no answer", "retryable": true});
        }
        let mut frame = serde_json::json!({
            "id": id(9), "type": "chat_response", "timestamp": "2026-01-15T10:00:00.000Z", "payload": payload,
        });
        if text.is_empty() || !ended.is_empty() {
            frame["seq"] = 7.into();
        }
        match codec::decode_server(&frame.to_string()).unwrap().message {
            ServerMessage::ChatResponse(piece) => screen.reply(*piece).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    String::from_utf8(out).unwrap()
}

fn id(n: u8) -> String {
    format!("019bc0d1-7a10-7c3e-9f21-3a5d8c6e1b0{n}")
}

#[test]
fn a_reply_streams_under_its_name() {
    let pieces = [(1, "guide", 0, "", ""), (1, "guide", 0, "Grüß", ""), (1, "guide", 4, "e!", "")];
    assert_eq!(shown(&pieces), "guide: Grüße!");
    let end = [pieces.as_slice(), &[(1, "guide", 0, "Grüße!", "stop")]].concat();
    assert_eq!(shown(&end), "guide: Grüße!\n");
}

#[test]
fn replies_at_the_same_time_stand_one_after_the_other() {
    let pieces = [
        (1, "guide", 0, "", ""),
        (2, "critic", 0, "", ""),
        (1, "guide", 0, "One", ""),
        (2, "critic", 0, "Two", ""),
        (2, "critic", 3, " and", ""),
        (1, "guide", 0, "One.", "stop"),
        (2, "critic", 0, "Two and three.", "stop"),
    ];
    assert_eq!(shown(&pieces[..5]), "guide: One");
    assert_eq!(shown(&pieces[..6]), "guide: One.\ncritic: Two and");
    assert_eq!(shown(&pieces), "guide: One.\ncritic: Two and three.\n");
}

#[test]
fn what_did_not_end_well_says_so() {
    for (ended, text) in [
        ("length", "guide: Half [cut off at its limit]\n"),
        ("cancelled", "guide: Half [cancelled]\n"),
        ("interrupted", "guide: Half [interrupted]\n"),
        ("error", "guide: Half [failed: no answer]\n"),
    ] {
        assert_eq!(shown(&[(1, "guide", 0, "", ""), (1, "guide", 0, "Half", ""), (1, "guide", 0, "", ended)]), text);
    }
    assert_eq!(shown(&[(1, "guide", 0, "", ""), (1, "guide", 0, "", "cancelled")]), "guide: [cancelled]\n");
}

#[test]
fn no_text_of_others_controls_the_terminal() {
    assert_eq!(shown(&[(1, "guide", 0, "a\u{1b}[2Jb\r\u{9b}c\u{7}\n\td", "stop")]), "guide: a[2Jbc\n\td\n");
}

#[test]
fn the_websocket_is_found_from_the_pages() {
    for (given, found, list) in [
        ("ws://h:3001/ws", "ws://h:3001/ws", "http://h:3001/worlds"),
        ("ws://h:3001", "ws://h:3001/ws", "http://h:3001/worlds"),
        ("ws://h/tunnel/socket?a=1", "ws://h/tunnel/socket?a=1", "http://h/tunnel/worlds"),
        ("http://127.0.0.1:3001", "ws://127.0.0.1:3001/ws", "http://127.0.0.1:3001/worlds"),
        ("http://h/ws", "ws://h/ws", "http://h/worlds"),
        ("https://h/below/?a=1#x", "wss://h/below/ws", "https://h/below/worlds"),
        ("wss://[::1]:8443/ws", "wss://[::1]:8443/ws", "https://[::1]:8443/worlds"),
    ] {
        let url = websocket(&given.parse().unwrap()).unwrap();
        assert_eq!((url.as_str(), beside(&url, "worlds").unwrap().as_str()), (found, list), "{given}");
    }
    assert!(websocket(&"ftp://h/".parse().unwrap()).is_err());
}

#[test]
fn the_way_back_names_what_is_not_usual() {
    for (url, world, words) in [
        (URL, "mine", "chat --template debate --world mine --token=-x"),
        ("ws://127.0.0.1:3001/ws", "my world", "chat --template debate --world 'my world' --token=-x"),
        ("https://h/below", "m", "chat --url wss://h/below/ws --template debate --world m --token=-x"),
    ] {
        let (template, world) = ("debate".parse().unwrap(), world.parse().unwrap());
        let url = websocket(&url.parse().unwrap()).unwrap();
        let visit = Visit { url, token: Some("-x".to_owned()), template, world, persistent: true, cursor: None };
        assert!(visit.call().ends_with(&format!(" {words}")), "{}", visit.call());
    }
}
