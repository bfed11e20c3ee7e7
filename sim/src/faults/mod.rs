//! What goes wrong in a simulated cluster, by the codes of the fault catalogue.

/// A fault of the catalogue at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The code, such as `F26`.
    pub code: String,
    /// The node it strikes; empty for the whole cluster.
    pub node: String,
}

impl Fault {
    /// Reads `F26@w1` or `F17`.
    pub fn parse(text: &str) -> Result<Fault, String> {
        let (code, node) = text.split_once('@').unwrap_or((text, ""));
        let known = code.strip_prefix('F').is_some_and(|n| n.len() == 2 && n.parse::<u32>().is_ok());
        if !known {
            return Err(format!("`{text}` is not a fault: write it like `F26@w1`"));
        }
        Ok(Fault { code: code.to_string(), node: node.to_string() })
    }
}
