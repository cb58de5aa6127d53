//! State as text of which a line diff reads well.

use serde_json::Value;

/// Rows before and after as aligned tables: the same widths in both, so that
/// only rows that really differ do so in a diff.
pub(super) fn tables<const N: usize>(
    head: [&str; N],
    before: &[[String; N]],
    after: &[[String; N]],
) -> (String, String) {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in before.iter().chain(after) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String; N]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let head = line(&head.map(str::to_owned));
    let table = |rows: &[[String; N]]| head.clone() + &rows.iter().map(line).collect::<String>();
    (table(before), table(after))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_cell_in_one_table_does_not_change_the_other_rows() {
        let row = |a: &str| [a.to_owned(), "x".to_owned()];
        let (before, after) = tables(["name", "n"], &[row("a")], &[row("a"), row("longer")]);
        let kept = before.lines().nth(1).unwrap();
        assert!(after.lines().any(|l| l == kept), "{before}\n{after}");
    }
}
