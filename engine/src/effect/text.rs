//! State as text of which a line diff reads well.

use serde_json::Value;

/// JSON over lines, keys in order.
pub(super) fn pretty(value: &Value) -> String {
    // A value that came from JSON has a JSON form.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// One line each.
pub(super) fn lines<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    items.into_iter().map(|item| format!("{item}\n")).collect()
}
