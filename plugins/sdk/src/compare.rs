//! C's `memcmp`, a word at a time. The C library for WebAssembly compares byte by
//! byte, and everything that reads JSON or looks up a name compares texts.

use std::cmp::Ordering;

/// Which of two pieces of memory comes first, byte by byte.
///
/// # Safety
/// Both are readable for `length` bytes.
unsafe fn compare(a: *const u8, b: *const u8, length: usize) -> Ordering {
    const WORD_BYTES: usize = size_of::<u64>();
    let mut at = 0;
    while at + WORD_BYTES <= length {
        // SAFETY: the word ends within both.
        let (x, y) = unsafe {
            let (x, y) = (a.add(at).cast::<u64>(), b.add(at).cast::<u64>());
            (x.read_unaligned(), y.read_unaligned())
        };
        if x != y {
            return u64::from_be(x).cmp(&u64::from_be(y));
        }
        at += WORD_BYTES;
    }
    while at < length {
        // SAFETY: the byte is within both.
        let (x, y) = unsafe { (a.add(at).read(), b.add(at).read()) };
        if x != y {
            return x.cmp(&y);
        }
        at += 1;
    }
    Ordering::Equal
}

/// As C has it.
///
/// # Safety
/// Both are readable for `length` bytes.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, length: usize) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { compare(a, b, length) as i32 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_in_the_order_of_their_bytes(
            common in prop::collection::vec(any::<u8>(), 0..40),
            a in prop::collection::vec(any::<u8>(), 0..20),
            b in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let (a, b) = ([common.clone(), a].concat(), [common, b].concat());
            let length = a.len().min(b.len());
            let found = unsafe { compare(a.as_ptr(), b.as_ptr(), length) };
            prop_assert_eq!(found, a[..length].cmp(&b[..length]));
        }
    }
}
