//! Small numbers, as bits.

/// A set of numbers below a bound.
#[derive(Clone)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn below(bound: usize) -> Self {
        Self(vec![0; bound.div_ceil(64)])
    }

    pub(super) fn insert(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    pub(super) fn insert_all(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word |= other;
        }
    }

    pub(super) fn remove_all(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= !other;
        }
    }

    pub(super) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let words = self.0.iter().enumerate();
        words.flat_map(|(at, word)| {
            let bits = (0..64).filter(move |bit| word & (1 << bit) != 0);
            bits.map(move |bit| at * 64 + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Bits;

    #[test]
    fn numbers_on_both_sides_of_a_word_are_told_apart() {
        let mut some = Bits::below(130);
        assert!(some.is_empty());
        for number in [0, 63, 64, 129] {
            some.insert(number);
        }
        let mut others = Bits::below(130);
        others.insert(65);
        assert!(!some.meets(&others));
        others.insert(64);
        assert!(some.meets(&others));
        some.remove_all(&others);
        assert_eq!(some.iter().collect::<Vec<_>>(), [0, 63, 129]);
        some.insert_all(&others);
        assert_eq!(some.iter().collect::<Vec<_>>(), [0, 63, 64, 65, 129]);
    }
}
