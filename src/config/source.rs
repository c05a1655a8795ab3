//! Where settings come from: a file, the environment, the command line, each stronger than the one before.

use std::{ffi::OsString, fmt, fs, path::Path};

use clap::{Arg, ArgAction, ArgMatches, builder::ValueHint, parser::ValueSource};

use super::{Config, SETTINGS, Setting};

/// The setting that is no setting of the server, but says where its file is.
const CONFIG: &str = "config";
const PREFIX: &str = "AGENT_WORLD_";

/// Where a value stands, as whoever wrote it would call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    CommandLine {
        setting: String,
    },
    Environment {
        variable: String,
    },
    /// `setting` is empty where the file as a whole is meant.
    File {
        file: String,
        setting: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine { setting } => write!(f, "--{setting}"),
            Self::Environment { variable } => f.write_str(variable),
            Self::File { file, setting } if setting.is_empty() => f.write_str(file),
            Self::File { file, setting } => write!(f, "{file}: {setting}"),
        }
    }
}

/// A setting that cannot be used, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct InvalidSetting {
    pub origin: Origin,
    /// One line.
    pub problem: String,
}

impl Setting {
    /// As on the command line and in the file: `data-dir`.
    pub fn name(&self) -> String {
        self.field.replace('_', "-")
    }

    /// As in the environment: `AGENT_WORLD_DATA_DIR`.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.field.to_ascii_uppercase())
    }

    /// The sentence for `--help` and the documents.
    pub fn sentence(&self) -> String {
        self.help.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    fn argument(&self) -> Arg {
        let default = (self.show)(&Config::default());
        let default = default.map(|text| format!(" [default: {text}]")).unwrap_or_default();
        let argument = Arg::new(self.field)
            .long(self.name())
            .value_name(self.value)
            .action(if self.list { ArgAction::Append } else { ArgAction::Set })
            .help_heading(self.heading)
            .help(format!("{}{default}", self.sentence()))
            .value_hint(match self.value {
                "DIR" => ValueHint::DirPath,
                "FILE" => ValueHint::FilePath,
                _ => ValueHint::Unknown,
            });
        match self.flag {
            true => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
            // A path that looks like another argument is one that was forgotten.
            false if ["DIR", "FILE"].contains(&self.value) => argument,
            // One in 64 tokens begins with a hyphen; and a time below zero is a wrong value, not another argument.
            false => argument.allow_hyphen_values(true),
        }
    }
}

impl Config {
    /// The arguments of a command that serves, for the command line.
    pub fn arguments() -> impl Iterator<Item = Arg> {
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .help_heading("Where things are")
            .help("TOML file with any of these settings, such as: listen = \"127.0.0.1:8080\"")
            .value_hint(ValueHint::FilePath);
        std::iter::once(config).chain(SETTINGS.iter().map(Setting::argument))
    }

    /// Those of a command that needs only the settings that are named.
    pub fn arguments_of(names: &[&str]) -> impl Iterator<Item = Arg> {
        let wanted = |argument: &Arg| argument.get_long().is_some_and(|long| long == CONFIG || names.contains(&long));
        Self::arguments().filter(wanted)
    }

    /// Reads all sources. `environment` is `std::env::var_os`.
    ///
    /// Variables that begin with `AGENT_WORLD_` and are no setting are left alone: container platforms make such
    /// variables by themselves for a service of this name.
    ///
    /// # Errors
    /// The first setting that cannot be used, wherever it stands, even where a stronger source overrides it.
    pub fn load(
        arguments: &ArgMatches,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, InvalidSetting> {
        let mut config = Self::default();
        let file_variable = format!("{PREFIX}CONFIG");
        let file = match arguments.get_one::<String>(CONFIG) {
            Some(file) => Some(file.clone()),
            None => variable(&file_variable, &environment)?,
        };
        if let Some(file) = file {
            config.read_file(Path::new(&file))?;
        }
        for setting in SETTINGS {
            let name = setting.variable();
            if let Some(text) = variable(&name, &environment)? {
                config.take(setting, &text, || Origin::Environment { variable: name })?;
            }
        }
        for setting in SETTINGS {
            // A command may not know it.
            let known = arguments.try_contains_id(setting.field).is_ok();
            let given = known && arguments.value_source(setting.field) == Some(ValueSource::CommandLine);
            if let Ok(Some(values)) = arguments.try_get_many::<String>(setting.field)
                && given
            {
                let text = values.map(String::as_str).collect::<Vec<_>>().join(",");
                config.take(setting, &text, || Origin::CommandLine { setting: setting.name() })?;
            }
        }
        Ok(config)
    }

    fn take(&mut self, setting: &Setting, text: &str, origin: impl FnOnce() -> Origin) -> Result<(), InvalidSetting> {
        (setting.set)(self, text).map_err(|problem| InvalidSetting { origin: origin(), problem })
    }

    fn read_file(&mut self, path: &Path) -> Result<(), InvalidSetting> {
        let file = path.display().to_string();
        let origin = |setting: &str| Origin::File { file: file.clone(), setting: setting.to_owned() };
        let wrong = |problem| InvalidSetting { origin: origin(""), problem };
        let text = fs::read_to_string(path).map_err(|error| wrong(format!("failed to read it: {error}")))?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(before).filter(|byte| *byte == b'\n').count();
            wrong(format!("line {line} is not TOML: {}", error.message().lines().next().unwrap_or_default()))
        })?;
        for (name, value) in &table {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.name() == *name) else {
                let problem = match SETTINGS.iter().find(|setting| setting.field == name) {
                    Some(setting) => format!("it is written {}", setting.name()),
                    None => "there is no such setting; see --help".to_owned(),
                };
                return Err(InvalidSetting { origin: origin(name), problem });
            };
            let text = as_text(value).ok_or_else(|| InvalidSetting {
                origin: origin(name),
                problem: "is neither a single value nor a list of texts".to_owned(),
            })?;
            self.take(setting, &text, || origin(name))?;
        }
        Ok(())
    }
}

/// What an environment variable holds; empty counts as not set.
fn variable(name: &str, environment: impl Fn(&str) -> Option<OsString>) -> Result<Option<String>, InvalidSetting> {
    let Some(value) = environment(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.into_string().map(Some).map_err(|_| InvalidSetting {
        origin: Origin::Environment { variable: name.to_owned() },
        problem: "is not UTF-8".to_owned(),
    })
}

/// A value of the file as the command line would have it.
fn as_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(toml::Value::as_str).collect();
            items.map(|items| items.join(","))
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}
