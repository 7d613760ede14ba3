//! Where the texts come from.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tocsin_alerts::gateways;
use tocsin_alerts::texts::Texts;
use tocsin_alerts::texts::lint::{self, Problem};

use super::Common;
use crate::config::file::Approvals;
use crate::config::{self, Config};
use crate::exit::Failure;

/// How the name of a text's file ends.
const ENDING: &str = ".jinja";

/// The texts of a call, what is wrong with them, and what the gateways are said to have approved.
pub struct Source {
    /// Those that can be read.
    pub texts: Texts,
    /// Broken rules, whichever gateway it is.
    pub problems: Vec<Problem>,
    /// By the gateway's name.
    pub approvals: BTreeMap<String, Approvals>,
}

impl Source {
    /// What the arguments name.
    ///
    /// # Errors
    /// A wrong call: a configuration or folder that cannot be read.
    pub fn open(common: &Common) -> Result<Source, Failure> {
        let config = common.config.as_deref().map(config::load).transpose()?;
        let folder = config.as_ref().map_or(common.folder.as_ref(), |config| config.texts_folder.as_ref());
        let own = folder.map(|folder| files(folder)).transpose()?.unwrap_or_default();
        let (texts, problems) = lint::read(&own);
        let approvals = config.map(|config| config.gateways.approvals).unwrap_or_default();
        Ok(Source { texts, problems, approvals })
    }
}

/// The texts that the service words its messages with.
///
/// # Errors
/// A wrong call: the folder cannot be read, or a text in it breaks a rule.
pub fn for_service(config: &Config) -> Result<Arc<Texts>, Failure> {
    let Some(folder) = &config.texts_folder else { return Ok(Texts::built_in()) };
    match Texts::read(&files(folder)?) {
        Ok(texts) => Ok(Arc::new(texts)),
        Err(problems) => Err(Failure::wrong_call(format!(
            "{}: [alerts.templates] folder: {}{}; see tocsin templates lint",
            config.path.display(),
            problems.first().map(ToString::to_string).unwrap_or_default(),
            match problems.len() {
                0 | 1 => String::new(),
                n => format!(", and {} more", n - 1),
            }
        ))),
    }
}

/// For each gateway whose approved templates are configured: whether they are those of the texts.
pub fn approvals(config: &Config) -> Vec<Result<String, Failure>> {
    let Ok(texts) = for_service(config) else { return Vec::new() };
    let judged = config.gateways.approvals.iter().filter_map(|(name, told)| {
        let profile = gateways::find(name)?.profile;
        let problems = lint::approved(&texts, profile, &told.sign_name, &told.templates);
        Some(match problems.first() {
            None => Ok(format!("[alerts.gateways.{name}] what is approved are the texts")),
            Some(problem) => Err(Failure::wrong_call(format!(
                "[alerts.gateways.{name}] {} differ, the first: {problem}; see tocsin templates lint --config",
                problems.len()
            ))),
        })
    });
    judged.collect()
}

/// The `*.jinja` files of a folder, by name without the ending.
///
/// # Errors
/// A wrong call: the folder or one of them cannot be read as text.
fn files(folder: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let unread = |path: &Path, e: std::io::Error| {
        Failure::wrong_call(format!("cannot read the texts in {}: {e}", path.display()))
    };
    let mut own = BTreeMap::new();
    for file in std::fs::read_dir(folder).map_err(|e| unread(folder, e))? {
        let path = file.map_err(|e| unread(folder, e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(ENDING) {
            let text = std::fs::read_to_string(&path).map_err(|e| unread(&path, e))?;
            own.insert(name.to_owned(), text);
        }
    }
    Ok(own)
}
