//! How long the texts of an error are, in every face alike.

use naosu_engine::{Code, Error};

/// Through gRPC an error travels in HTTP headers, which peers bound.
const MAX_CHARS: usize = 2000;

/// The error as every face tells it: a longer text ends with "…".
pub fn bounded(error: Error) -> Error {
    // All that is wrong with a configuration is told together, and nobody but
    // the one who starts this process hears it.
    if error.code == Code::InvalidConfiguration {
        return error;
    }
    Error {
        code: error.code,
        message: cut(error.message),
        next: cut(error.next),
    }
}

fn cut(text: String) -> String {
    if text.chars().count() <= MAX_CHARS {
        return text;
    }
    text.chars().take(MAX_CHARS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_and_the_problems_of_a_configuration_are_not() {
        let long = |code| bounded(Error::new(code, "ü".repeat(3000), "n".repeat(2000)));
        let error = long(Code::Internal);
        assert_eq!(error.message.chars().count(), MAX_CHARS);
        assert!(error.message.ends_with("ü…"));
        assert_eq!(error.next, "n".repeat(2000));
        let whole = long(Code::InvalidConfiguration);
        assert_eq!(whole.message, "ü".repeat(3000));
    }
}
