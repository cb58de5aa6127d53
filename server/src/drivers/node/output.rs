//! What a script printed, as Run Command hands it back: marked, packed, paged.
//!
//! Run Command reports success whatever happens, and keeps the last 4,096 bytes
//! of a stream without saying so. So each script prints its exit code, length and
//! digest itself, behind a marker with the run's own nonce; what does not add up
//! is an error, never a shorter answer.

use std::io::Read as _;

use base64::Engine as _;
use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};

use super::{error::NodeError, script::PAGE_BYTES};
use crate::drivers::text::printable;

/// One page of packed output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Base64 text.
    pub data: String,
    /// Which page, from 1.
    pub page: usize,
    /// How many there are.
    pub pages: usize,
    /// What all pages together are.
    pub meta: Meta,
}

/// What the whole output is, as the node says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Exit code of the script's body.
    pub exit: i32,
    /// Length, unpacked.
    pub bytes: u64,
    /// SHA-256 in hexadecimal, unpacked.
    pub sha256: String,
}

impl Page {
    /// Finds the page in a run command's message.
    ///
    /// # Errors
    /// [`NodeError::Truncated`] when its begin is missing, [`NodeError::Malformed`]
    /// when its end is.
    pub fn find(node: &str, nonce: &str, message: &str) -> Result<Self, NodeError> {
        let malformed = |reason: &str| NodeError::Malformed {
            node: node.to_owned(),
            reason: format!("{reason}, in {:?}", printable(message, 200)),
        };
        let end_marker = format!("[naosu end nonce={nonce} ");
        let Some((before, after)) = message.split_once(&end_marker) else {
            return Err(malformed("the script's end marker is missing"));
        };
        let Some((fields, _)) = after.split_once(']') else {
            return Err(malformed("the script's end marker is cut"));
        };
        let begin_marker = format!("[naosu begin nonce={nonce}]\n");
        let Some((_, data)) = before.split_once(&begin_marker) else {
            return Err(NodeError::Truncated {
                node: node.to_owned(),
                reason: "its begin is missing".to_owned(),
            });
        };
        let field = |name: &str| {
            fields
                .split(' ')
                .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
                .ok_or_else(|| malformed(&format!("the end marker has no {name}")))
        };
        let number = |name: &str| -> Result<u64, NodeError> {
            field(name)?
                .parse()
                .map_err(|_| malformed(&format!("{name} of the end marker is no number")))
        };
        let count = |name: &str| -> Result<usize, NodeError> {
            Ok(usize::try_from(number(name)?).unwrap_or(usize::MAX))
        };
        Ok(Self {
            data: data.trim_end_matches('\n').to_owned(),
            page: count("page")?,
            pages: count("pages")?,
            meta: Meta {
                exit: i32::try_from(number("exit")?).unwrap_or(i32::MAX),
                bytes: number("bytes")?,
                sha256: field("sha256")?.to_owned(),
            },
        })
    }

    /// Checks what the node says of the whole output against what is fetched at
    /// most, before anything more is asked of it.
    ///
    /// # Errors
    /// [`NodeError::Malformed`].
    pub fn check_size(&self, node: &str, limit: u64) -> Result<(), NodeError> {
        let malformed = |reason: String| NodeError::Malformed {
            node: node.to_owned(),
            reason,
        };
        let bytes = self.meta.bytes;
        if bytes > limit {
            return Err(malformed(format!(
                "{bytes} bytes are more than the limit of {limit}"
            )));
        }
        // gzip lengthens what it cannot pack by less than a thousandth and its
        // frame, and four characters of base64 carry three bytes.
        let packed = (bytes + bytes / 1_000 + 64).div_ceil(3).saturating_mul(4);
        let most = packed.div_ceil(PAGE_BYTES as u64);
        if self.pages as u64 > most {
            return Err(malformed(format!(
                "{} pages are more than {bytes} bytes need",
                self.pages
            )));
        }
        Ok(())
    }
}

/// Unpacks the joined data of all pages and checks it against what the node says.
///
/// # Errors
/// [`NodeError::Truncated`] or [`NodeError::Malformed`].
pub fn unpack(node: &str, packed: &str, meta: &Meta, limit: u64) -> Result<Vec<u8>, NodeError> {
    let malformed = |reason: String| NodeError::Malformed {
        node: node.to_owned(),
        reason,
    };
    let truncated = |reason: String| NodeError::Truncated {
        node: node.to_owned(),
        reason,
    };
    if meta.bytes > limit {
        return Err(malformed(format!(
            "{} bytes are more than the limit of {limit}",
            meta.bytes
        )));
    }
    let compressed = base64::engine::general_purpose::STANDARD
        .decode(packed)
        .map_err(|error| truncated(format!("it is not whole base64: {error}")))?;
    let mut output = Vec::new();
    GzDecoder::new(compressed.as_slice())
        .take(limit + 1)
        .read_to_end(&mut output)
        .map_err(|error| truncated(format!("it is not whole gzip: {error}")))?;
    if output.len() as u64 != meta.bytes {
        return Err(truncated(format!(
            "{} of {} bytes came",
            output.len(),
            meta.bytes
        )));
    }
    let digest = Sha256::digest(&output);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    if digest == meta.sha256 {
        Ok(output)
    } else {
        Err(malformed("the digest does not match".to_owned()))
    }
}

/// One program's part of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name in the script.
    pub name: String,
    /// Exit code; `None` when the program is not there.
    pub exit: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
}

/// Reads the sections of an unpacked output. Bytes that are not UTF-8 are replaced.
///
/// # Errors
/// [`NodeError::Malformed`].
pub fn sections(node: &str, output: &[u8]) -> Result<Vec<Section>, NodeError> {
    let malformed = || NodeError::Malformed {
        node: node.to_owned(),
        reason: "its sections do not add up".to_owned(),
    };
    let mut sections = Vec::new();
    let mut rest = output;
    while !rest.is_empty() {
        let line_end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(malformed)?;
        let (line, after) = rest.split_at(line_end);
        let line = std::str::from_utf8(line).map_err(|_| malformed())?;
        let mut words = line.split(' ');
        let mut word = || words.next().ok_or_else(malformed);
        let (name, exit, stdout, stderr) = (word()?, word()?, word()?, word()?);
        let exit = match exit {
            "absent" => None,
            code => Some(code.parse().map_err(|_| malformed())?),
        };
        let mut body = after.get(1..).unwrap_or_default();
        let mut take = |length: &str| {
            let length: usize = length.parse().map_err(|_| malformed())?;
            let (taken, left) = body.split_at_checked(length).ok_or_else(malformed)?;
            body = left;
            Ok::<_, NodeError>(String::from_utf8_lossy(taken).into_owned())
        };
        let section = Section {
            name: name.to_owned(),
            exit,
            stdout: take(stdout)?,
            stderr: take(stderr)?,
        };
        sections.push(section);
        rest = body;
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use naosu_engine::error::Code;
    use proptest::prelude::*;

    use super::*;

    fn packed(output: &[u8]) -> (String, Meta) {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(output).unwrap();
        let meta = Meta {
            exit: 0,
            bytes: output.len() as u64,
            sha256: Sha256::digest(output)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        };
        let data = base64::engine::general_purpose::STANDARD.encode(gzip.finish().unwrap());
        (data, meta)
    }

    fn message(nonce: &str, data: &str) -> String {
        format!(
            "Enable succeeded: \n[stdout]\n[naosu begin nonce={nonce}]\n{data}\n\
             [naosu end nonce={nonce} page=1 pages=1 exit=3 bytes=5 sha256=ab]\n\n[stderr]\n"
        )
    }

    #[test]
    fn a_page_is_found_behind_its_own_nonce_only() {
        let page = Page::find("n", "abc", &message("abc", "QUJD")).unwrap();
        assert_eq!((page.data.as_str(), page.meta.exit), ("QUJD", 3));
        let error = Page::find("n", "other", &message("abc", "QUJD")).unwrap_err();
        assert_eq!(error.code(), Code::NodeOutputMalformed);
    }

    #[test]
    fn a_cut_begin_is_told_from_a_missing_end() {
        let whole = message("abc", "QUJD");
        let cut = &whole[whole.find("QU").unwrap()..];
        assert_eq!(
            Page::find("n", "abc", cut).unwrap_err().code(),
            Code::NodeOutputTruncated
        );
        let cut = &whole[..whole.find("sha256").unwrap()];
        assert_eq!(
            Page::find("n", "abc", cut).unwrap_err().code(),
            Code::NodeOutputMalformed
        );
    }

    #[test]
    fn no_more_pages_are_fetched_than_what_the_node_says_needs() {
        let page = |pages, bytes| Page {
            data: String::new(),
            page: 1,
            pages,
            meta: Meta {
                exit: 0,
                bytes,
                sha256: String::new(),
            },
        };
        let limit = 1 << 20;
        for (pages, bytes) in [(1, 1), (1, 2_000), (2, 5_000), (412, 1 << 20)] {
            assert_eq!(page(pages, bytes).check_size("n", limit), Ok(()), "{bytes}");
        }
        for (pages, bytes) in [(2, 1), (900, 10_000), (1, limit + 1), (usize::MAX, limit)] {
            let error = page(pages, bytes).check_size("n", limit).unwrap_err();
            assert_eq!(error.code(), Code::NodeOutputMalformed, "{bytes}");
        }
    }

    #[test]
    fn an_error_shows_hostile_output_escaped() {
        let error = Page::find("n", "abc", "\u{1b}]0;owned\u{7}").unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'));
    }

    #[test]
    fn what_unpacks_to_more_than_the_limit_is_not_unpacked() {
        let (data, mut meta) = packed(&vec![0; 1 << 20]);
        assert!(unpack("n", &data, &meta, 1 << 10).is_err());
        meta.bytes = 1 << 9;
        assert_eq!(
            unpack("n", &data, &meta, 1 << 10).unwrap_err().code(),
            Code::NodeOutputTruncated
        );
    }

    #[test]
    fn sections_hold_whatever_was_printed() {
        let output = b"a 0 12 2\nb absent 0 0\n!!b absent 0 0\nc 1 0 3\nno\n";
        let found = sections("n", output).unwrap();
        assert_eq!(found[0].stdout, "b absent 0 0");
        assert_eq!(found[0].stderr, "\n!");
    }

    proptest! {
        #[test]
        fn any_output_comes_back_whole_and_any_cut_is_noticed(
            output in proptest::collection::vec(any::<u8>(), 1..2_000),
            cut in 1_usize..50,
        ) {
            let (data, meta) = packed(&output);
            prop_assert_eq!(unpack("n", &data, &meta, 1 << 20), Ok(output));
            let shorter = &data[..data.len().saturating_sub(cut)];
            prop_assert!(unpack("n", shorter, &meta, 1 << 20).is_err());
        }

        #[test]
        fn no_output_makes_the_section_reader_panic(output in any::<Vec<u8>>()) {
            let _ = sections("n", &output);
        }

        #[test]
        fn sections_that_lie_about_themselves_are_refused_or_as_long_as_they_say(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    "a 0 ", "a absent ", "a -1 ", "0 0\n", "3 2\n", "18446744073709551615 1\n",
                    "99999999999999999999 0\n", "abc", "\n", "é", " ", "b 1 1 1\nxy",
                ]),
                0..12,
            ),
        ) {
            let output = parts.concat();
            if let Ok(sections) = sections("n", output.as_bytes()) {
                let held: usize = sections.iter().map(|s| s.stdout.len() + s.stderr.len()).sum();
                // Bytes that are half a character are shown as a longer one.
                prop_assert!(held <= 3 * output.len());
            }
        }

        #[test]
        fn no_message_makes_the_page_reader_panic(
            from in any::<prop::sample::Index>(),
            to in any::<prop::sample::Index>(),
            put in ".{0,12}",
        ) {
            let whole = message("abc", "QUJD");
            let (from, to) = (from.index(whole.len()), to.index(whole.len()));
            let (first, last) = (from.min(to), from.max(to));
            let damaged = format!("{}{put}{}", &whole[..first], &whole[last..]);
            if let Ok(page) = Page::find("n", "abc", &damaged) {
                let _ = unpack("n", &page.data, &page.meta, 1 << 10);
            }
        }
    }
}
