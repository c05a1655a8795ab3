//! Which world: what the server has, and which one is meant.

use std::io::Write;

use agent_world::protocol::{TemplateName, TemplateSummaries, WorldName, WorldSummaries, WorldSummary};
use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use url::Url;

use super::{
    ChatError, Input, Screen,
    connection::{ask, beside},
};

/// The template that is taken when nobody chooses.
const FIRST: &str = "default-world";

/// What there is to choose from.
pub struct Offer {
    pub templates: TemplateSummaries,
    /// The worlds of whoever has the token.
    pub own: Vec<WorldSummary>,
}

/// A template, and a world that is made of it already.
pub type Choice = (TemplateName, Option<WorldName>);

impl Offer {
    /// Asks the server beside whose WebSocket at `url` the lists stand.
    pub async fn of(url: &Url, token: Option<&str>) -> Result<Self, ChatError> {
        let templates = list(url, "worlds", None).await?;
        let own = match token {
            Some(token) => WorldSummaries::into_vec(list(url, "session/worlds", Some(token)).await?),
            None => Vec::new(),
        };
        Ok(Self { templates, own })
    }

    /// Shows it and lets a person choose by number or name.
    pub async fn choose<W: Write>(&self, input: &mut Input, screen: &mut Screen<W>) -> Result<Choice, ChatError> {
        let default = self.first()?;
        for (number, template) in self.templates.iter().enumerate() {
            let (name, agents) = (&template.name, template.agent_count);
            screen.note(&format!("{:>2}. {name} ({agents} agents): {}", number + 1, template.description))?;
        }
        for (number, world) in self.own.iter().enumerate() {
            let (number, name, template) = (number + 1 + self.templates.len(), &world.world_name, &world.template_name);
            let title = world.title.as_ref().map(|title| format!(": {title}")).unwrap_or_default();
            screen.note(&format!("{number:>2}. {name} (a world of yours, from {template}){title}"))?;
        }
        loop {
            screen.ask(&format!("Which world? Number or name, or Enter for {}: ", default.0))?;
            let Some(line) = input.line().await else {
                return Err(ChatError::Rejected("no world was chosen".to_owned()));
            };
            match self.chosen(line.trim()) {
                Some(choice) => return Ok(choice),
                None if line.trim().is_empty() => return Ok(default),
                None => screen.note("That is none of them.")?,
            }
        }
    }

    fn chosen(&self, text: &str) -> Option<Choice> {
        let number = text.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let template = |at: usize| self.templates.get(at).map(|template| (template.name.clone(), None));
        let own =
            |at: usize| self.own.get(at).map(|world| (world.template_name.clone(), Some(world.world_name.clone())));
        let by_number = || number.and_then(|at| template(at).or_else(|| own(at.checked_sub(self.templates.len())?)));
        let by_name = || {
            let named = |template: &TemplateName| template.as_str().eq_ignore_ascii_case(text);
            template(self.templates.iter().position(|template| named(&template.name))?)
        };
        by_number().or_else(|| self.own(text)).or_else(by_name)
    }

    /// One's own world of this name.
    pub fn own(&self, name: &str) -> Option<Choice> {
        let world = self.own.iter().find(|world| world.world_name.as_str().eq_ignore_ascii_case(name))?;
        Some((world.template_name.clone(), Some(world.world_name.clone())))
    }

    /// The template for a first conversation.
    pub fn first(&self) -> Result<Choice, ChatError> {
        let found = self.templates.iter().find(|template| template.name.as_str() == FIRST).or(self.templates.first());
        found
            .map(|template| (template.name.clone(), None))
            .ok_or_else(|| ChatError::UnknownTemplate { name: FIRST.to_owned(), known: "none".to_owned() })
    }
}

async fn list<T: DeserializeOwned>(url: &Url, path: &str, token: Option<&str>) -> Result<T, ChatError> {
    let http = beside(url, path)?;
    let answer = ask(url, |client| match token {
        Some(token) => client.get(http).bearer_auth(token),
        None => client.get(http),
    });
    let answer = answer.await?;
    let status = answer.status();
    if status == StatusCode::UNAUTHORIZED {
        return Err(ChatError::Rejected("the server does not know this token (any more)".to_owned()));
    }
    let body = answer.bytes().await.map_err(|error| ChatError::Broken(error.to_string()))?;
    let list = serde_json::from_slice(&body).ok().filter(|_| status.is_success());
    list.ok_or_else(|| ChatError::NotUnderstood(format!("HTTP {status} for the list at {path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_is_chosen_by_number_or_name() {
        let template = |name| serde_json::json!({"name": name, "description": "x", "agentCount": 1});
        let own = serde_json::json!([{"worldName": "mine", "templateName": "debate", "persistent": true,
            "createdAt": "2026-01-15T10:00:00.000Z"}]);
        let templates = serde_json::json!([template("debate"), template("default-world")]);
        let offer =
            Offer { templates: serde_json::from_value(templates).unwrap(), own: serde_json::from_value(own).unwrap() };
        let chosen = |text| {
            let (template, world) = offer.chosen(text)?;
            Some((template.to_string(), world.map(|world| world.to_string())))
        };
        let made = |template: &str| Some((template.to_owned(), None));
        let mine = Some(("debate".to_owned(), Some("mine".to_owned())));
        assert_eq!((chosen("1"), chosen("2"), chosen("3")), (made("debate"), made("default-world"), mine.clone()));
        assert_eq!((chosen("MINE"), chosen("Debate")), (mine, made("debate")));
        assert_eq!((chosen("0"), chosen("4"), chosen("")), (None, None, None));
        assert_eq!(offer.first().unwrap().0.as_str(), FIRST);
    }
}
