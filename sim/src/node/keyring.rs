//! The key that the package repositories are signed with, as far as anybody here looks into it: which it is and when it ends. It
//! signs nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::files::Files;

/// Where apt finds it.
pub(crate) const KEYRING: &str = "/etc/apt/keyrings/kubernetes-apt-keyring.gpg";

/// When it was made: 2022-08-25.
const MADE: u32 = 1_661_385_600;

/// When the one that the repositories have now ends: 2034-12-31.
const ENDS: u32 = 2_051_136_000;

/// When the one before it ended: 2024-11-02.
const ENDED: u32 = 1_730_505_600;

/// Returns the key as the repositories have it now.
pub(crate) fn fresh() -> Vec<u8> {
    key(ENDS)
}

/// Returns the key as it was before it was renewed.
pub(crate) fn old() -> Vec<u8> {
    key(ENDED)
}

/// Returns why apt does not take the repository's signature, if it does not.
pub(crate) fn complaint(files: &Files) -> Option<&'static str> {
    let keyring = files.read(KEYRING).unwrap_or_default();
    let has = |key: &[u8]| keyring.windows(key.len()).any(|part| part == key);
    if has(&fresh()) {
        return None;
    }
    Some(match has(&old()) {
        true => {
            "The following signatures were invalid: EXPKEYSIG 234654DA9A296436 isv:kubernetes OBS Project <isv:kubernetes@build.opensuse.org>"
        }
        false => {
            "The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 234654DA9A296436"
        }
    })
}

/// Returns the file `Release.key` of a repository.
pub(crate) fn release_key() -> String {
    let text = STANDARD.encode(fresh());
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|l| std::str::from_utf8(l).ok()).collect();
    let (begin, end) = ("-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----");
    format!("{begin}\nVersion: GnuPG v2.0.15 (GNU/Linux)\n\n{}\n{end}\n", lines.join("\n"))
}

/// A key of RSA with the signature of its own (RFC 4880, 5.5.2 and 5.2.3).
fn key(ends: u32) -> Vec<u8> {
    let mut public = vec![4];
    public.extend(MADE.to_be_bytes());
    public.extend([1, 0x08, 0x00]);
    public.extend((0..=255_u8).map(|byte| byte | 0x80));
    public.extend([0, 17, 1, 0, 1]);
    let name = b"isv:kubernetes OBS Project <isv:kubernetes@build.opensuse.org>".to_vec();
    let mut said = vec![5, 2];
    said.extend(MADE.to_be_bytes());
    said.extend([2, 27, 3, 5, 9]);
    said.extend((ends - MADE).to_be_bytes());
    let mut signature = vec![4, 0x13, 1, 8, 0, u8::try_from(said.len()).unwrap_or_default()];
    signature.extend(said);
    signature.extend([0, 0, 0x5a, 0x5a, 0, 8, 0xa5]);
    [packet(6, &public), packet(13, &name), packet(2, &signature)].concat()
}

fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[0x80 | (tag << 2) | 1, length[0], length[1]], body].concat()
}
