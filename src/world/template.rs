//! Template worlds: read once at the start, never written (docs/PROTOCOL.md §5). Three are embedded; a folder of
//! one's own adds to them, and replaces one of the same name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::{decide::new_agent, event::Event, routing::is_reserved};
use crate::protocol::{Agent, AgentDefinition, SystemPrompt, Template, TemplateName, Title, codec};

const EMBEDDED: [(&str, &str); 3] = [
    ("default-world.json", include_str!("../../templates/default-world.json")),
    ("debate.json", include_str!("../../templates/debate.json")),
    ("writers-room.json", include_str!("../../templates/writers-room.json")),
];

/// The templates of this server, by name; names that differ only in ASCII case are one.
#[derive(Debug)]
pub struct Templates {
    by_name: BTreeMap<String, Template>,
}

/// Why a template is refused at the start.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTemplate {
    #[error("failed to read {}: {error}", file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error("{} is not a valid template: {reason}", file.display())]
    Unsound { file: PathBuf, reason: String },
}

impl Templates {
    /// The embedded templates, and those of `dir`: files `<name>.json`, and folders `<name>` with a `template.json`
    /// and prompts in `<agent>.md`. Other files are let be, and so is what is hidden: mounts and version control put
    /// folders of their own there.
    pub fn load(dir: Option<&Path>) -> Result<Self, InvalidTemplate> {
        let mut templates = Self { by_name: BTreeMap::new() };
        for (file, text) in EMBEDDED {
            let file = Path::new(file);
            templates.add(
                file,
                file.file_stem().unwrap_or_default().to_string_lossy().as_ref(),
                text.as_bytes(),
                None,
            )?;
        }
        let Some(dir) = dir else { return Ok(templates) };
        let unreadable = |error| InvalidTemplate::Unreadable { file: dir.to_owned(), error };
        let mut paths: Vec<_> =
            fs::read_dir(dir).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        paths.sort_by_key(|entry| entry.file_name());
        let mut own = BTreeSet::new();
        for entry in paths {
            let path = entry.path();
            let called = entry.file_name().to_string_lossy().into_owned();
            if called.starts_with('.') || called.ends_with(".script.json") {
                continue;
            }
            let (file, prompts) = match path.is_dir() {
                true => (path.join("template.json"), Some(path.as_path())),
                false => (path.clone(), None),
            };
            if prompts.is_some() && !file.is_file() {
                let reason = "a folder needs a template.json beside its prompts".to_owned();
                return Err(InvalidTemplate::Unsound { file: path, reason });
            }
            let is_template = file.extension().is_some_and(|extension| extension == "json") && file.is_file();
            if is_template {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                // Over an embedded one it may go; over another of its own folder it went unseen.
                if !own.insert(name.to_ascii_lowercase()) {
                    return Err(InvalidTemplate::Unsound { file, reason: format!("the name {name:?} is taken twice") });
                }
                let text =
                    fs::read(&file).map_err(|error| InvalidTemplate::Unreadable { file: file.clone(), error })?;
                templates.add(&file, &name, &text, prompts)?;
            }
        }
        Ok(templates)
    }

    fn add(&mut self, file: &Path, name: &str, text: &[u8], prompts: Option<&Path>) -> Result<(), InvalidTemplate> {
        let unsound = |reason: String| InvalidTemplate::Unsound { file: file.to_owned(), reason };
        let mut template: Template = codec::decode_body(text).map_err(|rejection| unsound(rejection.line()))?;
        if template.name.as_str() != name {
            return Err(unsound(format!("its name is {:?}, that of its file {name:?}", template.name.as_str())));
        }
        for (index, agent) in template.agents.iter().enumerate() {
            let twin = |other: &AgentDefinition| other.name.as_str().eq_ignore_ascii_case(agent.name.as_str());
            if is_reserved(agent.name.as_str()) || template.agents[..index].iter().any(twin) {
                return Err(unsound(format!("/agents/{index}/name is reserved or stands there twice")));
            }
        }
        if let Some(dir) = prompts {
            let mut agents = template.agents.to_vec();
            read_prompts(dir, &mut agents)?;
            template.agents = crate::protocol::AgentDefinitions::trusted(agents);
        }
        self.by_name.insert(name.to_ascii_lowercase(), template);
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<&Template> {
        self.by_name.get(&name.to_ascii_lowercase())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Template> {
        self.by_name.values()
    }

    pub fn names(&self) -> Vec<String> {
        self.iter().map(|template| template.name.to_string()).collect()
    }
}

/// Gives every agent the prompt of the file that is called like it. A file that is nobody's is a mistake, and so is a
/// prompt that stands in both places.
fn read_prompts(dir: &Path, agents: &mut [AgentDefinition]) -> Result<(), InvalidTemplate> {
    let unreadable = |error| InvalidTemplate::Unreadable { file: dir.to_owned(), error };
    let mut files = fs::read_dir(dir).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    files.sort_by_key(fs::DirEntry::file_name);
    for file in files.into_iter().map(|entry| entry.path()) {
        if file.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let unsound = |reason: &str| InvalidTemplate::Unsound { file: file.clone(), reason: reason.to_owned() };
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let agent = agents.iter_mut().find(|agent| agent.name.as_str() == name);
        let agent = agent.ok_or_else(|| unsound("the template has no agent of that name"))?;
        if agent.config.system_prompt.is_some() {
            return Err(unsound("template.json gives that agent a systemPrompt, too"));
        }
        let text =
            fs::read_to_string(&file).map_err(|error| InvalidTemplate::Unreadable { file: file.clone(), error })?;
        let prompt = SystemPrompt::try_from(text.trim_end().to_owned());
        agent.config.system_prompt = Some(prompt.map_err(|_| unsound("it is too long"))?);
    }
    Ok(())
}

/// The agents of a template, as a world made from it at `at_ms` would show them.
pub fn agents_of(template: &Template, at_ms: i64) -> Vec<Agent> {
    template.agents.iter().map(|new| new_agent(new.name.clone(), new.status, &new.config, at_ms)).collect()
}

/// The first events of a world made from a template.
pub fn first_events(template: &Template, title: Option<Title>, at_ms: i64) -> Vec<Event> {
    let name: TemplateName = template.name.clone();
    let created = Event::WorldCreated { template_name: name, title, turn_limit: template.turn_limit };
    let agents = agents_of(template, at_ms).into_iter().map(|agent| Event::AgentCreated { agent });
    std::iter::once(created).chain(agents).collect()
}
