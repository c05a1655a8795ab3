//! Deliberately broken servers, one for each check: a change to the conversation at the place where that check looks,
//! made where the bytes come in. The kit proves itself with them: a check that no change can make fail checks nothing.
//!
//! What is changed follows from what the check asserts ([`kinds`]); [`super::change`] says how.

use serde_json::{Value, json};

use super::{
    change::{Edit, Select, leaf, made_up},
    scenario::{Action, HoldKind, Scenario, Step, row_name},
    tamper::Tamper,
    value::Values,
};

/// How a conversation is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What the check waits for never comes.
    Lose,
    /// A field that the check looks at has another value.
    Alter,
    /// The answer is another: an error for a success, another error for an error.
    Refuse,
    /// A frame comes that must not.
    Insert,
    /// A frame comes later than it must.
    Delay,
    /// The status or close code is another.
    Status,
    /// A header is missing.
    Header,
    /// The stream or connection goes on.
    Linger,
    /// What [`super::tamper`] says.
    Tamper,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Lose => "lose",
            Self::Alter => "alter",
            Self::Refuse => "refuse",
            Self::Insert => "insert",
            Self::Delay => "delay",
            Self::Status => "status",
            Self::Header => "header",
            Self::Linger => "linger",
            Self::Tamper => "tamper",
        }
    }
}

/// One broken server: the check that it must fail, and how it is broken.
#[derive(Debug, Clone, PartialEq)]
pub struct Mutant {
    /// A check of the scenario, or `standing/<check>`.
    pub check: String,
    pub kind: Kind,
    /// What is done to the frames, where that is said by hand.
    pub tamper: Option<Tamper>,
}

/// The broken servers of a scenario, at least one for each check; a check without one asserts nothing.
pub fn mutants(scenario: &Scenario) -> Vec<Mutant> {
    let mut found = Vec::new();
    collect(&scenario.steps, "", &mut found);
    found
}

fn collect(steps: &[Step], suffix: &str, found: &mut Vec<Mutant>) {
    let mut add = |check: &str, kinds: &[Kind]| {
        found.extend(kinds.iter().map(|kind| Mutant { check: format!("{check}{suffix}"), kind: *kind, tamper: None }));
    };
    for step in steps {
        if let Some(check) = &step.check {
            add(check, &kinds(&step.action));
        }
        for hold in step.holds() {
            add(&hold.check, &[hold_kind(&hold.kind)]);
        }
    }
    for step in steps {
        match &step.action {
            Action::Repeat { steps, .. } => collect(steps, suffix, found),
            Action::Each { rows, steps } => {
                for row in rows {
                    collect(steps, &format!("{suffix} [{}]", row_name(row)), found);
                }
            }
            _ => {}
        }
    }
}

/// What breaks a step's own check.
fn kinds(action: &Action) -> Vec<Kind> {
    match action {
        Action::Connect(connect) => {
            let mut kinds = Vec::new();
            if connect.status.is_some() || connect.problem.is_some() {
                kinds.push(Kind::Status);
            }
            if connect.echo.is_some() {
                kinds.push(Kind::Header);
            }
            if connect.ok.as_ref().is_some_and(|ok| leaf(ok).is_some()) {
                kinds.push(Kind::Alter);
            }
            if kinds.is_empty() {
                kinds.push(Kind::Lose);
            }
            kinds
        }
        Action::Ask(ask) | Action::Answer(ask) => {
            let mut kinds = vec![Kind::Refuse];
            if ask.ok.as_ref().is_some_and(|ok| leaf(ok).is_some())
                || ask.error.as_ref().is_some_and(|error| error.is_object() && leaf(error).is_some())
            {
                kinds.push(Kind::Alter);
            }
            kinds
        }
        Action::Expect(_) | Action::Until(_) => vec![Kind::Lose],
        Action::Next(_) => vec![Kind::Insert],
        Action::Http(http) | Action::Stream(http) => {
            let mut kinds = vec![Kind::Status];
            let body = http.ok.as_ref().or(http.problem.as_ref().filter(|problem| problem.is_object()));
            if body.is_some_and(|body| leaf(body).is_some()) {
                kinds.push(Kind::Alter);
            }
            if !http.answer_headers.is_empty() {
                kinds.push(Kind::Header);
            }
            kinds
        }
        Action::Ended(_) => vec![Kind::Linger],
        Action::Closed(_) => vec![Kind::Linger, Kind::Status],
        Action::Value { .. } => vec![Kind::Alter],
        _ => Vec::new(),
    }
}

fn hold_kind(hold: &HoldKind) -> Kind {
    match hold {
        // One more than there should be.
        HoldKind::Count { is: Value::Number(_), .. } => Kind::Insert,
        HoldKind::Count { is: Value::Object(is), .. } if is.contains_key("$max") => Kind::Insert,
        HoldKind::None(_) | HoldKind::Only(_) => Kind::Insert,
        HoldKind::Every { .. } => Kind::Alter,
        HoldKind::Order(_) => Kind::Delay,
        HoldKind::Count { .. } | HoldKind::Some(_) | HoldKind::Same { .. } => Kind::Lose,
    }
}

/// The change that breaks a `hold` of a step that ends with `last`.
pub fn against(hold: &HoldKind, last: &Value, values: &Values) -> (Select, Edit) {
    let stranger = || {
        json!({"id": "019bc0d1-7a12-7c3e-9f21-00000000dead", "timestamp": "2026-01-15T10:00:00.000Z",
        "type": "status", "payload": {"type": "mutant", "message": "", "data": {}}})
    };
    match hold {
        HoldKind::None(of) => (Select::First, Edit::Insert(made_up(of, values))),
        HoldKind::Count { of, .. } if hold_kind(hold) == Kind::Insert => {
            (Select::First, Edit::Insert(made_up(of, values)))
        }
        HoldKind::Only(_) => (Select::First, Edit::Insert(stranger())),
        HoldKind::Every { of, is } => (Select::Fits(of.clone()), Edit::Alter(beyond(is, of))),
        HoldKind::Order(patterns) => {
            let first = patterns.first().cloned().unwrap_or_default();
            (Select::Fits(first), Edit::Delay(patterns.last().cloned().unwrap_or_default()))
        }
        HoldKind::Count { of, .. } | HoldKind::Some(of) | HoldKind::Same { of, .. } => {
            (Select::FitsBut(of.clone(), last.clone()), Edit::Lose)
        }
    }
}

/// What `is` asserts and `of` does not.
fn beyond(is: &Value, of: &Value) -> Value {
    match (is, of) {
        (Value::Object(is), Value::Object(of)) => {
            let fields = is.iter().filter(|(key, value)| of.get(*key) != Some(*value));
            Value::Object(
                fields
                    .map(|(key, value)| (key.clone(), of.get(key).map_or(value.clone(), |of| beyond(value, of))))
                    .collect(),
            )
        }
        _ => is.clone(),
    }
}
