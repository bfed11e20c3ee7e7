//! What changes between two texts, line by line.

/// How many lines around a change are shown.
const AROUND: usize = 2;

/// Draws what changes between two texts, line by line. Formatting keeps nearly all lines in their
/// order, so that looking a little ahead for the next equal line is enough.
pub(crate) fn diff(old: &str, new: &str) -> String {
    const AHEAD: usize = 50;
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // Each line with its mark; removed lines stand before the ones that replace them.
    let mut lines: Vec<(char, usize, &str)> = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        let meet = (0..AHEAD * 2).find_map(|far| {
            (0..=far.min(AHEAD)).map(|a| (a, far - a)).find(|(a, b)| {
                let pair = (old.get(i + a), new.get(j + b));
                pair.0.is_some() && pair.0 == pair.1
            })
        });
        let (gone, come) = meet.unwrap_or((AHEAD, AHEAD));
        let (gone, come) = (gone.min(old.len() - i), come.min(new.len() - j));
        lines.extend(old[i..i + gone].iter().map(|l| ('-', j + 1, *l)));
        lines.extend(new[j..j + come].iter().zip(j + 1..).map(|(l, number)| ('+', number, *l)));
        (i, j) = (i + gone, j + come);
        if meet.is_some() {
            lines.push((' ', j + 1, new[j]));
            (i, j) = (i + 1, j + 1);
        }
    }
    let mut out = String::new();
    let mut shown = 0;
    for (at, (mark, number, line)) in lines.iter().enumerate() {
        let around = &lines[at.saturating_sub(AROUND)..(at + AROUND + 1).min(lines.len())];
        if around.iter().all(|(mark, ..)| *mark == ' ') {
            continue;
        }
        if shown != at || at == 0 {
            out.push_str(&format!("@@ line {number} @@\n"));
        }
        out.push_str(format!("{mark}{line}").trim_end());
        out.push('\n');
        shown = at + 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_what_changes_and_what_stands_around_it() {
        let old = "a\nb\nc\nd\ne\nf\ng\nx\n";
        let new = "a\nb\nc\nD\ne\nf\ng\n\nx\n";
        assert_eq!(diff(old, new), "@@ line 2 @@\n b\n c\n-d\n+D\n e\n f\n g\n+\n x\n");
        assert_eq!(diff("a\n", "a\n"), "");
        assert_eq!(diff("", "a\n"), "@@ line 1 @@\n+a\n");
    }
}
