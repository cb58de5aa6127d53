//! From the tree to typed sections, collecting every problem instead of
//! stopping at the first: what cannot be read is reported, taken out, and the
//! rest is read again.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::{
    Deserializer, Spanned,
    de::{DeTable, DeValue},
};

use super::{document::Document, nearest::nearest, problem::Problem};

/// More wrong settings than anyone would read; bounds the loop.
const MAX_PROBLEMS: usize = 200;

/// Reads all of it. What is wrong is in the document's problems, and its default stands.
pub fn sections<T: DeserializeOwned + Default>(document: &mut Document) -> T {
    let mut rest = document.root.clone();
    for _ in 0..MAX_PROBLEMS {
        let tree = Spanned::new(0..0, rest.clone());
        let error = match T::deserialize(Deserializer::from(tree)) {
            Ok(sections) => return sections,
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let removed = remove(&mut rest, &span, "");
        let (key, offset) = match &removed {
            Some((key, offset)) => (key.clone(), Some(*offset)),
            None => (String::new(), None),
        };
        document.problems.push(Problem {
            place: offset.and_then(|offset| document.sources.place(offset)),
            key,
            message: message(error.message()),
        });
        if removed.is_none() {
            break;
        }
    }
    T::default()
}

/// Takes out the innermost setting that contains `span`, and gives its key and offset.
fn remove(
    table: &mut DeTable<'static>,
    span: &Range<usize>,
    outer: &str,
) -> Option<(String, usize)> {
    let contains = |range: &Range<usize>| range.start <= span.start && span.end <= range.end;
    let keys: Vec<_> = table.keys().cloned().collect();
    for key in keys {
        let path = match outer {
            "" => key.get_ref().to_string(),
            outer => format!("{outer}.{}", key.get_ref()),
        };
        let value = table.get_mut(&key)?;
        if let DeValue::Table(inner) = value.get_mut()
            && let Some(removed) = remove(inner, span, &path)
        {
            return Some(removed);
        }
        if contains(&key.span()) || contains(&value.span()) {
            table.remove(&key);
            return Some((path, key.span().start));
        }
    }
    None
}

/// serde's message, with the nearest key for one that is not known.
fn message(said: &str) -> String {
    let said = said.trim();
    let Some(rest) = said.strip_prefix("unknown field `") else {
        return said.to_owned();
    };
    let mut words = rest.split('`').step_by(2);
    let Some(unknown) = words.next() else {
        return said.to_owned();
    };
    let known: Vec<&str> = rest.split('`').skip(2).step_by(2).collect();
    match nearest(unknown, &known) {
        Some(near) => format!("unknown key; did you mean {near:?}?"),
        None => format!("unknown key; there are {}", known.join(", ")),
    }
}
