//! The words of the language in one list, for whoever writes a reference of it.

use super::hover::{WORDS, constant, function, option, set};
use super::spell;
use crate::check::{CONSTANTS, FACTS, FUNCTIONS, LAWS, SETS, TYPES};
use crate::literal;

/// A word of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub name: &'static str,
    /// What it is: `word`, `type`, `function`, `set`, `constant`, `fact`, `option` or `law`.
    pub is: &'static str,
    /// What it does, in Markdown; a law's text is in its own place.
    pub doc: String,
}

/// Returns all words of the language, kind by kind.
pub fn words() -> Vec<Word> {
    let word = |name: &'static str, is: &'static str, doc: &str| Word { name, is, doc: doc.to_string() };
    let mut all: Vec<Word> = WORDS.iter().map(|(name, doc)| word(name, "word", doc)).collect();
    all.extend(TYPES.iter().map(|name| {
        let example = spell::named(name).map(|ty| literal::example(&ty)).unwrap_or_default();
        word(name, "type", &format!("a value of it is `{example}`"))
    }));
    all.extend(FUNCTIONS.iter().map(|name| word(name, "function", function(name).unwrap_or_default())));
    all.extend(SETS.iter().map(|name| word(name, "set", set(name))));
    let constants = ["true", "false"].map(|name| word(name, "constant", "a bool"));
    all.extend(constants);
    all.extend(CONSTANTS.iter().filter_map(|name| Some(word(name, "constant", constant(name)?))));
    all.extend(
        FACTS.iter().map(|(name, ty)| word(name, "fact", &format!("a fact of a node: {}", spell::ty(ty)))),
    );
    all.extend(
        ["batch", "canary", "soak"].map(|name| word(name, "option", option(name).unwrap_or_default())),
    );
    all.extend(LAWS.iter().map(|name| word(name, "law", "a law; `allow` lifts it, with a reason")));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_says_what_it_does() {
        let all = words();
        assert!(all.len() > 90);
        assert!(all.iter().all(|word| !word.doc.is_empty()), "{all:?}");
        for (i, word) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|w| (w.name, w.is) != (word.name, word.is)), "{word:?} twice");
        }
    }
}
