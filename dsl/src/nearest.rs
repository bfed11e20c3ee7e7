//! Did you mean: the candidate that a mistyped word most likely was.

/// Returns the candidate that is nearest to `word`, if one is near at all: the only one that goes on where it stops, or
/// the one with the fewest mistakes between.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let goes_on = |c: &&str| c.strip_prefix(word).is_some_and(|rest| rest.starts_with(' '));
    let mut longer = candidates.iter().copied().filter(goes_on);
    if let (Some(one), None) = (longer.next(), longer.next()) {
        return Some(one);
    }
    let word: Vec<char> = word.chars().take(64).collect();
    let limit = (word.len() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|c| (distance(&word, c), c))
        .filter(|(d, c)| *d <= limit && *d < c.chars().count())
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// Returns the candidate that a mistyped word certainly was: one small mistake away, and no other
/// candidate as near. Digits are never mistyped: who writes `node3` means no `node1`.
pub(crate) fn surely<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let digits = |w: &str| w.bytes().filter(u8::is_ascii_digit).collect::<Vec<u8>>();
    let letters: Vec<char> = word.chars().take(64).collect();
    let limit = match letters.len() {
        0..3 => return None,
        3..6 => 1,
        6.. => 2,
    };
    let mut near: Vec<(usize, &str)> =
        candidates.into_iter().map(|c| (distance(&letters, c), c)).filter(|(d, _)| *d <= limit).collect();
    near.sort_unstable();
    near.dedup();
    match near.as_slice() {
        [(_, one)] => Some(*one),
        [(first, one), (second, _), ..] if first < second => Some(*one),
        _ => None,
    }
    .filter(|one| digits(one) == digits(word))
}

/// Counts insertions, deletions, replacements and swaps of neighbors.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_of_letters_is_one_mistake() {
        assert_eq!(nearest("drian", ["cordon", "drain", "uncordon"]), Some("drain"));
        assert_eq!(nearest("wait helthy", ["wait healthy"]), Some("wait healthy"));
        assert_eq!(nearest("frobnicate", ["cordon", "drain"]), None);
        assert_eq!(nearest("x", ["y"]), None);
    }

    #[test]
    fn a_verb_that_stops_too_soon_is_the_one_that_goes_on() {
        let verbs = ["check dns", "check nodes ready", "wait healthy", "wait gpus"];
        assert_eq!(nearest("check nodes", verbs), Some("check nodes ready"));
        assert_eq!(nearest("wait", verbs), None);
    }

    #[test]
    fn only_one_candidate_that_is_near_is_sure() {
        assert_eq!(surely("drian", ["cordon", "drain", "uncordon"]), Some("drain"));
        assert_eq!(surely("node3", ["node1"]), None);
        assert_eq!(surely("bat", ["bad", "cat"]), None);
        assert_eq!(surely("targt", ["target", "targets"]), Some("target"));
        assert_eq!(surely("os", ["oss"]), None);
    }
}
