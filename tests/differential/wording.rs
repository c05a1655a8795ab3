//! What a refusal says must help: a sentence, and the limit that was broken.

use agent_world::protocol::Rejection;

/// A limit that is longer than this stands in the sentence only.
const SHORT: usize = 80;

const WITH_LIMIT: &[&str] = &[
    "required",
    "type",
    "const",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "depth",
];

#[track_caller]
pub fn assert_worded(rejection: &Rejection, text: &str) {
    assert!(!rejection.violations().is_empty(), "nothing explains why this is refused: {text}");
    for violation in rejection.violations() {
        let (keyword, message) = (violation.keyword.as_str(), violation.message.as_str());
        assert!(!message.contains("something else") && !message.contains("does not satisfy"), "{violation:?}");
        match &violation.limit {
            Some(limit) => assert!(keyword == "uniqueItems" || message.contains(limit), "{violation:?}"),
            None => assert!(!WITH_LIMIT.contains(&keyword) || message.len() > SHORT, "{violation:?} in {text}"),
        }
        if keyword == "additionalProperties" {
            assert!(!message.ends_with("there are none") || violation.pointer.ends_with("/payload"), "{violation:?}");
        }
    }
}
