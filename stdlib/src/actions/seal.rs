//! What is copied off a node for the holders of a key alone: files of age, which its own tools open as well.
//! Only public keys are needed to seal; the secret one is asked for where something is opened.
//! https://age-encryption.org/v1

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use age::x25519::{Identity, Recipient};
use engine::action::Context;
use engine::event::Failure;
use engine::port::{Seal, Sealing};
use sha2::{Digest, Sha256};

use super::argument;
use super::detached::hex;

/// What the name of such a file ends with.
pub(super) const ENDING: &str = ".age";

/// What such a file begins with.
const MAGIC: &[u8] = b"age-encryption.org/";

/// Makes files that certain keys open. It remembers the hash of the last one as it was before.
pub(super) struct For {
    keys: Vec<Recipient>,
    hash: Arc<Mutex<Option<String>>>,
}

impl For {
    /// Returns the seal that the argument `encrypt_to` asks for; none where it names nobody.
    pub(super) fn of(cx: &Context) -> Result<Option<For>, Failure> {
        if !cx.args.contains_key("encrypt_to") {
            return Ok(None);
        }
        let named = argument::words(cx, "encrypt_to")?;
        let keys = named.iter().map(|key| {
            key.trim().parse::<Recipient>().map_err(|why| {
                let (text, hint) = match key.trim().to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
                    // It is in the plan by now, so it must not be used any more.
                    true => ("`encrypt_to` holds a secret key".to_string(), "make another one: this one was written down; `age-keygen -y` prints the public key of a secret one"),
                    false => (format!("`{key}` is no public key of age: {why}"), "`age-keygen` makes a pair of keys and prints the public one, age1..."),
                };
                Failure::last(text).with_hint(hint)
            })
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        Ok((!keys.is_empty()).then(|| For { keys, hash: Arc::default() }))
    }

    /// Returns the SHA-256 of what was sealed last.
    pub(super) fn hash(&self) -> Option<String> {
        self.hash.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Seal for For {
    fn over<'a>(&self, out: Box<dyn Write + Send + 'a>) -> io::Result<Box<dyn Sealing + 'a>> {
        let keys = self.keys.iter().map(|key| key as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(keys).map_err(io::Error::other)?;
        let writer = encryptor.wrap_output(out)?;
        Ok(Box::new(File { writer, digest: Sha256::new(), hash: self.hash.clone() }))
    }
}

/// A file that is being sealed.
struct File<W: Write> {
    writer: age::stream::StreamWriter<W>,
    digest: Sha256,
    hash: Arc<Mutex<Option<String>>>,
}

impl<W: Write> Write for File<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(piece)?;
        self.digest.update(&piece[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl<W: Write + Send> Sealing for File<W> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        let File { writer, digest, hash } = *self;
        writer.finish()?.flush()?;
        *hash.lock().unwrap_or_else(PoisonError::into_inner) = Some(hex(&digest.finalize()[..]));
        Ok(())
    }
}

/// Returns whether a file is one of these.
pub(super) fn is_sealed(content: &[u8]) -> bool {
    content.starts_with(MAGIC)
}

/// Opens a file with a secret key, or with any of several lines of them, as `age-keygen` writes them.
pub(super) fn open(content: &[u8], keys: &str) -> Result<Vec<u8>, String> {
    let lines = keys.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    // What is wrong with a key says nothing of the key.
    let keys = lines.map(|line| line.parse::<Identity>().map_err(|_| "that is no secret key of age"));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let decryptor = age::Decryptor::new(content).map_err(|error| error.to_string())?;
    let mut plain = Vec::new();
    let opened = decryptor.decrypt(keys.iter().map(|key| key as &dyn age::Identity));
    opened.map_err(|error| error.to_string())?.read_to_end(&mut plain).map_err(|error| error.to_string())?;
    Ok(plain)
}

/// Returns the hash that `sha256sum` prints of a file.
pub(super) fn hash(content: &[u8]) -> String {
    hex(&Sha256::digest(content)[..])
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret;
    use dsl::value::Value;
    use engine::port::sealed;

    use super::super::testing::Bench;
    use super::*;

    fn seal(keys: &[String]) -> Result<Option<For>, Failure> {
        let keys = keys.iter().map(|key| Value::Text(key.clone())).collect();
        For::of(&Bench::default().step(&[("encrypt_to", Value::List(keys))]))
    }

    #[tokio::test]
    async fn each_of_the_keys_opens_what_was_sealed_for_them_and_no_other_does() {
        let [first, second, other] = [Identity::generate(), Identity::generate(), Identity::generate()];
        let to = [first.to_public().to_string(), second.to_public().to_string()];
        let seal = seal(&to).unwrap().unwrap();
        let plain = b"every Secret of the cluster".repeat(10_000);
        let content = sealed(&seal, &plain).unwrap();
        assert_eq!(seal.hash(), Some(hash(&plain)));
        assert!(is_sealed(&content) && !is_sealed(&plain));
        assert!(!content.windows(12).any(|bytes| bytes == b"every Secret"));
        for key in [&first, &second] {
            // As `age-keygen` writes it, with comments.
            let file = format!("# created: today\n# public key: x\n{}\n", key.to_string().expose_secret());
            assert_eq!(open(&content, &file).unwrap(), plain);
        }
        assert!(open(&content, other.to_string().expose_secret()).is_err());
        assert!(open(&content[..content.len() - 1], first.to_string().expose_secret()).is_err());
        assert_eq!(open(&content, "hunter2").unwrap_err(), "that is no secret key of age");
    }

    #[tokio::test]
    async fn nobody_is_named_by_an_empty_list_and_a_secret_key_is_refused_without_being_told() {
        assert!(seal(&[]).unwrap().is_none());
        let wrong = seal(&["age1nope".to_string()]).err().unwrap();
        assert!(wrong.message.starts_with("`age1nope` is no public key of age"), "{}", wrong.message);
        let secret = Identity::generate().to_string().expose_secret().to_string();
        assert_eq!(seal(&[secret]).err().unwrap().message, "`encrypt_to` holds a secret key");
    }
}
