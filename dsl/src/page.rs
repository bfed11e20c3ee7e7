//! A page for each code: what it means, a wrong text, the right one, and why. They are Markdown under
//! `dsl/pages/`, one file a code, and a test holds each example to what its page says.

/// The page of one code.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The code, e.g. `K0203`.
    pub code: &'static str,
    /// The page as it was written: a heading, paragraphs, and blocks of kup.
    pub text: &'static str,
}

macro_rules! pages {
    ($($code:literal)*) => {
        &[$(Page { code: $code, text: include_str!(concat!("../pages/", $code, ".md")) }),*]
    };
}

/// All pages, in the order of their codes. A new code is added here.
static PAGES: &[Page] = pages![
    "K0101" "K0102" "K0103" "K0104" "K0105" "K0106" "K0107" "K0108" "K0109" "K0110"
    "K0111" "K0112" "K0113" "K0114" "K0115" "K0116" "K0201" "K0202" "K0203" "K0204"
    "K0205" "K0206" "K0207" "K0208" "K0209" "K0210" "K0211" "K0212" "K0213" "K0214"
    "K0215" "K0216" "K0217" "K0218" "K0301" "K0302" "K0303" "K0304" "K0305" "K0306" "K0307"
    "K0308" "K0309" "K0310" "K0311" "K0312" "K0313" "K0314" "K0315" "K0316" "K0317" "K0318" "K0319" "K0320"
    "K0401" "K0402" "K0403" "K0404" "K0405" "K0406" "K0407" "K0408" "K0409" "K0410"
    "K0411" "K0412" "K0414" "K0415" "K0416" "K0417" "K0418" "K0419" "K0420"
    "K0421" "K0422" "K0423" "K0424" "K0425" "K0501" "K0502" "K0503" "K0504" "K0505" "K0601" "K0602" "K0603" "K0604"
    "K0605" "K0606" "K0607" "K0701" "K0702" "K0703" "K0704"
    "K1001" "K1002" "K1003" "K1004" "K1005" "K1006" "K1007" "K1008" "K1009" "K1010"
    "K1011" "K1012" "K1013" "K1014" "K1015" "K1016" "K1017" "K1018" "K1019" "K1020" "K1021"
];

/// Returns all pages, in the order of their codes.
pub fn pages() -> &'static [Page] {
    PAGES
}

impl Page {
    /// Returns what the heading says behind the code.
    pub fn title(&self) -> &'static str {
        let heading = self.text.lines().next().unwrap_or_default();
        heading.split_once(": ").map_or(heading, |(_, title)| title)
    }
}
