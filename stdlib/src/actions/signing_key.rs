//! The keys that a package repository is signed with, as an apt keyring has them: which they are, and when they end. As much of
//! OpenPGP as that takes (RFC 4880, sections 4, 5 and 6), so that a node needs no gpg. What is signed apt itself verifies.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A key, and all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The packet of the key itself: what is renewed keeps it.
    material: Vec<u8>,
    /// All its packets, as a keyring has them.
    packets: Vec<u8>,
    /// When it ends, since the Unix epoch; `None` for one that does not.
    ends: Option<Duration>,
}

/// The keys of a keyring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keyring(Vec<Key>);

/// The kinds of packets that matter here.
const SIGNATURE: u8 = 2;
const PUBLIC_KEY: u8 = 6;

/// The kinds of parts of a signature that matter here.
const CREATED: u8 = 2;
const KEY_ENDS: u8 = 9;
const KEY_FLAGS: u8 = 27;

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

impl Keyring {
    /// Reads a keyring, armored or not; `None` if it is none.
    pub(super) fn read(bytes: &[u8]) -> Option<Keyring> {
        let plain = match std::str::from_utf8(bytes) {
            Ok(text) if text.contains(BEGIN) => dearmored(text)?,
            _ => bytes.to_vec(),
        };
        let mut keys: Vec<Key> = Vec::new();
        // When the signature was made that the end of the last key is taken from.
        let mut made = 0;
        let mut rest = plain.as_slice();
        while !rest.is_empty() {
            let (tag, body, length) = packet(rest)?;
            if tag == PUBLIC_KEY {
                keys.push(Key { material: body.to_vec(), packets: Vec::new(), ends: None });
                made = 0;
            }
            let key = keys.last_mut()?;
            key.packets.extend_from_slice(&rest[..length]);
            if tag == SIGNATURE
                && let Some((when, lasts)) = own_word(body)
                && when >= made
            {
                made = when;
                key.ends = lasts.and_then(|lasts| Some(seconds(created(&key.material)?) + seconds(lasts)));
            }
            rest = &rest[length..];
        }
        (!keys.is_empty()).then_some(Keyring(keys))
    }

    /// Returns when the last of its keys ends; `None` if one does not.
    pub(super) fn ends(&self) -> Option<Duration> {
        self.0.iter().map(|key| key.ends).try_fold(Duration::ZERO, |last, ends| Some(last.max(ends?)))
    }

    /// Returns whether each of its keys is one of another keyring, maybe with another end.
    pub(super) fn is_within(&self, other: &Keyring) -> bool {
        self.0.iter().all(|key| other.0.iter().any(|known| known.material == key.material))
    }

    /// Returns these keys, and of another keyring those that are not among them.
    pub(super) fn over(mut self, other: Keyring) -> Keyring {
        let mine = self.0.clone();
        let is_mine = |key: &Key| mine.iter().any(|known| known.material == key.material);
        self.0.extend(other.0.into_iter().filter(|key| !is_mine(key)));
        self
    }

    /// Writes it as apt reads a file of this name: armored for `.asc`, else not.
    pub(super) fn for_file(&self, path: &str) -> Vec<u8> {
        let plain: Vec<u8> = self.0.iter().flat_map(|key| key.packets.iter().copied()).collect();
        if !path.ends_with(".asc") {
            return plain;
        }
        let text = STANDARD.encode(plain);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("{BEGIN}\n\n{}\n{END}\n", lines.join("\n")).into_bytes()
    }
}

fn seconds(value: u32) -> Duration {
    Duration::from_secs(u64::from(value))
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// Takes the armor off: what stands between its empty line and its checksum.
fn dearmored(text: &str) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    for block in text.split(BEGIN).skip(1) {
        // The first one is what is left of the line that begins it.
        let lines = block.split(END).next()?.lines().skip(1).map(str::trim);
        let body = lines.skip_while(|line| !line.is_empty());
        let code: String = body.filter(|line| !line.starts_with('=')).collect();
        plain.extend(STANDARD.decode(code).ok()?);
    }
    Some(plain)
}

/// Reads the first packet: its kind, its body, and how long it is with its head.
fn packet(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let head = *bytes.first().filter(|head| **head & 0x80 != 0)?;
    let (tag, skip, length) = if head & 0x40 != 0 {
        let (skip, length) = new_length(bytes.get(1..)?)?;
        (head & 0x3f, 1 + skip, length)
    } else {
        let length = match head & 3 {
            0 => usize::from(*bytes.get(1)?),
            1 => usize::from(u16::from_be_bytes(bytes.get(1..3)?.try_into().ok()?)),
            2 => usize::try_from(number(bytes.get(1..)?)?).ok()?,
            // Until the end of the file: no key is written so.
            _ => return None,
        };
        ((head >> 2) & 0x0f, 1 + (1 << (head & 3)), length)
    };
    let end = skip.checked_add(length)?;
    Some((tag, bytes.get(skip..end)?, end))
}

/// Reads a length of the new form: how many bytes tell it, and what it is.
fn new_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = usize::from(*bytes.first()?);
    match first {
        0..192 => Some((1, first)),
        192..224 => Some((2, ((first - 192) << 8) + usize::from(*bytes.get(1)?) + 192)),
        255 => Some((5, usize::try_from(number(bytes.get(1..)?)?).ok()?)),
        // A part of a packet; only what is signed may be in parts.
        _ => None,
    }
}

/// Returns when a key was made.
fn created(material: &[u8]) -> Option<u32> {
    number(material.get(1..)?)
}

/// Reads what a key says of itself in a signature: when it said so, and how long it lasts. Others who sign it say
/// neither what it is for nor how long it lasts.
fn own_word(body: &[u8]) -> Option<(u32, Option<u32>)> {
    let [4, kind, _, _, high, low, ..] = body else { return None };
    if !matches!(kind, 0x10..=0x13 | 0x1f) {
        return None;
    }
    let mut parts = body.get(6..6 + usize::from(u16::from_be_bytes([*high, *low])))?;
    let (mut when, mut lasts, mut own) = (0, None, false);
    while !parts.is_empty() {
        let (skip, length) = match *parts.first()? {
            // Here the numbers from 224 on are lengths, too.
            first @ 192..=254 => (2, ((usize::from(first) - 192) << 8) + usize::from(*parts.get(1)?) + 192),
            _ => new_length(parts)?,
        };
        let part = parts.get(skip..skip + length)?;
        match part.first()? & 0x7f {
            CREATED => when = number(part.get(1..)?)?,
            KEY_ENDS => {
                own = true;
                lasts = Some(number(part.get(1..)?)?).filter(|seconds| *seconds > 0);
            }
            KEY_FLAGS => own = true,
            _ => {}
        }
        parts = &parts[skip + length..];
    }
    own.then_some((when, lasts))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Made with gpg 2.2: made on 2024-01-01, and over since 2024-11-02, as the key of pkgs.k8s.io was for a while.
    pub(crate) const OVER: &str = include_str!("keys/over.asc");
    /// The same key, renewed until 2029-01-01.
    pub(crate) const RENEWED: &str = include_str!("keys/renewed.asc");
    /// Another one, which does not end.
    pub(crate) const OTHER: &str = include_str!("keys/other.asc");

    fn read(text: &str) -> Keyring {
        Keyring::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_key_ends_when_its_newest_word_of_itself_says() {
        assert_eq!(read(OVER).ends(), Some(Duration::from_secs(1_730_548_800)));
        assert_eq!(read(RENEWED).ends(), Some(Duration::from_secs(1_861_963_200)));
        assert_eq!(read(OTHER).ends(), None);
    }

    #[test]
    fn a_renewed_key_is_the_same_and_takes_the_place_of_the_old_one() {
        assert!(read(RENEWED).is_within(&read(OVER)));
        assert!(!read(OTHER).is_within(&read(OVER)));
        let both = read(RENEWED).over(read(&format!("{OVER}{OTHER}")));
        assert_eq!(both, read(&format!("{RENEWED}{OTHER}")));
        assert_eq!(both.ends(), None);
    }

    #[test]
    fn a_keyring_is_read_as_it_is_written() {
        let keyring = read(&format!("{RENEWED}{OTHER}"));
        for path in ["/etc/apt/keyrings/kubernetes-apt-keyring.gpg", "/etc/apt/keyrings/k.asc"] {
            let bytes = keyring.for_file(path);
            assert_eq!(bytes.starts_with(b"-----BEGIN"), path.ends_with(".asc"));
            assert_eq!(Keyring::read(&bytes), Some(keyring.clone()));
        }
    }

    #[test]
    fn what_stands_in_the_head_of_the_armor_is_passed_over() {
        let headed = OVER.replacen("\n\n", "\nVersion: GnuPG v2.0.15 (GNU/Linux)\n\n", 1);
        assert_eq!(read(&headed), read(OVER));
    }

    #[test]
    fn what_is_no_keyring_is_told() {
        for bytes in [&b""[..], b"<html>404</html>", b"\xc6\xff\xff", b"\x99\x01\x0d\x04"] {
            assert_eq!(Keyring::read(bytes), None, "{bytes:?}");
        }
        let cut = dearmored(OVER).unwrap();
        for end in 1..cut.len() {
            Keyring::read(&cut[..end]);
        }
        let torn = OVER.replacen("mQENB", "????B", 1);
        assert_eq!(Keyring::read(torn.as_bytes()), None);
    }
}
