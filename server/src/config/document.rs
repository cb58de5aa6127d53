//! The layers of a configuration as one tree: file, then environment, then flags.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    origin::{Origin, Sources},
    problem::Problem,
};

/// A tree of settings whose spans lead back to their sources.
pub struct Document {
    /// The merged tree.
    pub root: DeTable<'static>,
    /// What the spans refer to.
    pub sources: Sources,
    /// What could not even be parsed.
    pub problems: Vec<Problem>,
}

/// A value given by environment or flag.
#[derive(Clone, Debug)]
pub struct Override {
    /// Where.
    pub origin: Origin,
    /// "listen.tcp".
    pub key: String,
    /// As written: a TOML value, or any text for a setting that is text.
    pub value: String,
}

impl Document {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            root: DeTable::new(),
            sources: Sources::default(),
            problems: Vec::new(),
        }
    }

    /// Lays a TOML text over what is there.
    pub fn lay(&mut self, origin: Origin, text: &str) {
        let offset = self.sources.add(origin, text.to_owned());
        // The parser's tree borrows its text. A process reads its configuration
        // once, and small, so the text may as well live as long as it.
        let text: &'static str = text.to_owned().leak();
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let start = error.span().map_or(0, |span| span.start);
            self.problems.push(Problem {
                place: self.sources.place(offset + start),
                key: String::new(),
                message: error.message().to_owned(),
            });
        }
        merge(&mut self.root, shift_table(table.into_inner(), offset));
    }

    /// Lays one value over what is there. What is no TOML value, such as a bare
    /// path, is text; so is what `as_text` says.
    pub fn lay_value(&mut self, given: &Override, as_text: bool) {
        let text = format!("{} = {}", given.key, given.value);
        let quoted = || {
            let value = toml::Value::String(given.value.clone());
            format!("{} = {value}", given.key)
        };
        let is_value = !as_text && DeTable::parse(&text).is_ok();
        let text = if is_value { text } else { quoted() };
        self.lay(given.origin.clone(), &text);
    }

    /// Where the setting `key` ("listen.tcp") was given.
    pub fn offset_of(&self, key: &str) -> Option<usize> {
        offset_in(&self.root, key)
    }
}

/// A name of the tree may have dots itself, as those of users and plugins do.
fn offset_in(table: &DeTable<'static>, key: &str) -> Option<usize> {
    table.iter().find_map(|(name, value)| {
        let rest = key.strip_prefix(name.get_ref().as_ref())?;
        if rest.is_empty() {
            return Some(name.span().start);
        }
        offset_in(value.get_ref().as_table()?, rest.strip_prefix('.')?)
    })
}

fn merge(base: &mut DeTable<'static>, over: DeTable<'static>) {
    for (key, value) in over {
        let nested = matches!(value.get_ref(), DeValue::Table(_));
        if nested
            && let Some(below) = base.get_mut(&key)
            && let DeValue::Table(below) = below.get_mut()
        {
            if let DeValue::Table(table) = value.into_inner() {
                merge(below, table);
            }
            continue;
        }
        // The key of a map is not replaced with its value, but its span must be.
        base.remove(&key);
        base.insert(key, value);
    }
}

fn shift_table(table: DeTable<'static>, by: usize) -> DeTable<'static> {
    table
        .into_iter()
        .map(|(key, value)| {
            let span = key.span();
            let key = Spanned::new(span.start + by..span.end + by, key.into_inner());
            (key, shift_value(value, by))
        })
        .collect()
}

fn shift_value(value: Spanned<DeValue<'static>>, by: usize) -> Spanned<DeValue<'static>> {
    let span = value.span();
    let shifted = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(shift_table(table, by)),
        DeValue::Array(mut array) => {
            for item in array.iter_mut() {
                let taken = std::mem::replace(item, Spanned::new(0..0, DeValue::Boolean(false)));
                *item = shift_value(taken, by);
            }
            DeValue::Array(array)
        }
        other => other,
    };
    Spanned::new(span.start + by..span.end + by, shifted)
}
