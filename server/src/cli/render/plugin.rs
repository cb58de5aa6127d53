//! One plugin.

use naosu_engine::model::PluginInfo;
use serde::Serialize;

use crate::cli::page::{Page, Tone};

/// All that is known of it.
pub fn plugin(page: &mut Page, plugin: &PluginInfo) {
    page.line(
        0,
        Tone::Strong,
        &format!("{} {}", plugin.id, plugin.version),
    );
    page.words(2, Tone::Plain, &plugin.summary);
    page.gap();
    page.field(2, "Cause", Tone::Plain, &plugin.cause);
    let fix = if plugin.fix.is_empty() {
        "none: advice only"
    } else {
        &plugin.fix
    };
    page.field(2, "Fix", Tone::Plain, fix);
    page.field(2, "May read", Tone::Plain, &names(&plugin.capabilities));
    page.field(2, "May propose", Tone::Plain, &names(&plugin.effects));
    page.field(2, "Contract", Tone::Plain, &plugin.contract);
    page.field(2, "Imports", Tone::Plain, &plugin.imports.join(" "));
    page.field(2, "Source", Tone::Plain, &plugin.source);
    page.field(2, "Digest", Tone::Plain, plugin.digest.as_str());
    for parameter in &plugin.parameters {
        let needed = match (&parameter.default, parameter.required) {
            (Some(default), _) => format!("default {default}"),
            (None, true) => "required".to_owned(),
            (None, false) => "optional".to_owned(),
        };
        let words = format!(
            "{} ({}, {needed}): {}",
            parameter.name,
            names(&[parameter.parameter_type]),
            parameter.summary
        );
        page.field(2, "Parameter", Tone::Plain, &words);
    }
}

/// The words that JSON has for them.
fn names<T: Serialize>(values: &[T]) -> String {
    let names: Vec<String> = values
        .iter()
        .filter_map(|value| serde_json::to_value(value).ok())
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}
