//! Lists in sentences for a person: short enough to be read, and to be taken by
//! the host, however much there is to list.

/// Items that a sentence names.
const ITEMS: usize = 8;
/// Characters of one item.
const CHARACTERS: usize = 360;

/// The items with a separator between them; what is too much is counted, and
/// long items are cut.
pub fn listed<T: AsRef<str>>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    let mut items = items.into_iter();
    let mut shown: Vec<String> = items
        .by_ref()
        .take(ITEMS)
        .map(|item| {
            let item = item.as_ref();
            match item.char_indices().nth(CHARACTERS) {
                Some((at, _)) => format!("{}…", item.get(..at).unwrap_or_default()),
                None => item.to_owned(),
            }
        })
        .collect();
    let more = items.count();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    shown.join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted_and_cut() {
        assert_eq!(listed(["a", "b"], ", "), "a, b");
        let many: Vec<String> = (0..1_000)
            .map(|n| format!("{n}{}", "é".repeat(500)))
            .collect();
        let text = listed(&many, "; ");
        assert!(text.ends_with("; 992 more"), "{text}");
        assert!(text.len() < 8 * 2 * 400);
    }
}
