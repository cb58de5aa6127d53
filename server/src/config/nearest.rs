//! The known word that was probably meant.

/// The nearest of `known`, if it is near enough to be a typing error.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(word.len()).div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typing_error_has_a_nearest_word_and_another_word_has_none() {
        assert_eq!(nearest("lsiten", &["log", "listen"]), Some("listen"));
        assert_eq!(nearest("kubernetes", &["log", "listen"]), None);
    }
}
