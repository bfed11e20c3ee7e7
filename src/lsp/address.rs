//! How editors name files: `file:///home/ada/my%20plan.kup`. Rooms below know paths only; what is no
//! file, such as a buffer without a name, keeps its address for a path.

use lsp_types::Uri;

/// Returns the path that an address stands for.
pub(crate) fn path(uri: &Uri) -> String {
    match uri.as_str().strip_prefix("file://") {
        // A host before the path is this machine.
        Some(rest) => rest.find('/').and_then(|at| decode(&rest[at..])),
        None => None,
    }
    .unwrap_or_else(|| uri.as_str().to_string())
}

/// Returns the address of a path; `None` if it cannot have one.
pub(crate) fn uri(path: &str) -> Option<Uri> {
    if !path.starts_with('/') {
        return path.parse().ok();
    }
    let mut address = String::from("file://");
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                address.push(char::from(byte));
            }
            other => address.push_str(&format!("%{other:02X}")),
        }
    }
    address.parse().ok()
}

/// Undoes `%20`; `None` where that is no text.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let hex = [rest.next()?, rest.next()?];
                u8::from_str_radix(str::from_utf8(&hex).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_back_from_its_address() {
        for name in ["/a.kup", "/my plan/ü 😀%.kup", "/c++/[x].kup"] {
            assert_eq!(path(&uri(name).unwrap()), name);
        }
    }

    #[test]
    fn what_is_no_file_keeps_its_address() {
        let buffer: Uri = "untitled:Untitled-1".parse().unwrap();
        assert_eq!(path(&buffer), "untitled:Untitled-1");
        assert_eq!(uri("untitled:Untitled-1").unwrap(), buffer);
        assert_eq!(path(&"file://host/x.kup".parse().unwrap()), "/x.kup");
    }
}
