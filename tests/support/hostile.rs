//! Strings that would like to be more than text: to a shell, a terminal, a path, JSON, rhai, HTML, or to whoever
//! reads them. The same from the same seed.

/// What every hostile string that could run something would make.
pub(crate) const CANARY: &str = "CANARY";

/// Pieces by what they are hostile to. `@` stands for what would make the canary.
const PIECES: &[&[&str]] = &[
    // A shell.
    &[
        "; @ #",
        "$(@)",
        "`@`",
        "| @",
        "&& @",
        "\n@\n",
        "'; @; '",
        "\"; @; \"",
        "${x:-$(@)}",
        "> CANARY",
        "&",
        "$HOME",
        "*",
        "~root",
        "-oProxyCommand=@",
        "--help",
        "\\",
        "'",
        "\"",
        "!!",
        "<<E",
        "a\\",
        "$((1+$(@)))",
        "{@,}",
        "%s%n",
    ],
    // A terminal.
    &[
        "\u{1b}[2J",
        "\u{1b}[31mred",
        "\u{1b}]0;title\u{7}",
        "\u{1b}]8;;http://x\u{1b}\\link",
        "\u{9b}1A",
        "\r",
        "\u{8}\u{8}",
        "\u{7}",
        "\u{1b}c",
        "\u{1b}P0;1|17/ab\u{1b}\\",
        "\u{7f}",
        "\u{e}",
        "\u{85}",
        "\u{1b}[6n",
        "\u{b}\u{c}",
    ],
    // A path.
    &[
        "../../etc/passwd",
        "/etc/shadow",
        "..",
        "./.",
        "a/../../../b",
        "%2e%2e%2f",
        "C:\\x",
        "/dev/stdin",
        "~/.ssh/id",
        "//",
        "con",
    ],
    // JSON and TOML.
    &[
        "\",\"x\":\"",
        "{\"a\":1}",
        "\\u0000",
        "]}",
        "\\\"",
        "\"\"\"",
        "'''",
        "[[host]]",
        "x = 1",
        "null",
        "\\ud800",
    ],
    // rhai and kup.
    &[
        "${eval(\"1\")}",
        "` + debug(1) + `",
        "${loop {}}",
        "\"); stop(\"x",
        "${node}",
        "${target}",
        "$${",
        "// x",
        "/*",
        "on run done {",
    ],
    // HTML.
    &[
        "<script>alert(1)</script>",
        "\" onmouseover=\"x",
        "<img src=http://x>",
        "&lt;",
        "</pre>",
        "]]>",
        "<!--",
        "javascript:x",
    ],
    // Whoever reads it.
    &[
        "\u{202e}txt.exe",
        "\u{2066}a\u{2069}",
        "\u{200b}",
        "\u{feff}",
        "\u{61c}",
        "\u{e0041}",
        "\u{ad}",
        "\u{3164}",
        "\u{fffa}",
        "e\u{301}\u{302}",
        "\u{1f468}\u{200d}\u{1f469}",
        "\u{fdd0}reason\u{fdd0}",
        "\u{2028}",
        "ｗ１",
        "а",
        "\u{fffd}",
        "\u{10ffff}",
    ],
];

const WORDS: &[&str] = &["w1", "v1.34.2", "web", "db-0", "a b", "x", "12", "prod"];

/// Returns so many strings.
pub(crate) fn strings(count: usize, seed: u64) -> Vec<String> {
    let mut state = seed;
    let mut roll = move |sides: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    };
    let one = |i: usize| {
        let mut text = String::new();
        // Each kind has its turn first.
        for n in 0..1 + roll(3) {
            let kind = if n == 0 { i % PIECES.len() } else { roll(PIECES.len()) };
            if roll(2) == 0 {
                text.push_str(WORDS[roll(WORDS.len())]);
            }
            text.push_str(PIECES[kind][roll(PIECES[kind].len())]);
        }
        text.replace('@', &format!("touch {CANARY}"))
    };
    (0..count).map(one).collect()
}
