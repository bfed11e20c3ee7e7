//! Evidence of health, by scope: what is looked at once, judged piece by piece, and told in an
//! operator's words. Ready alone says little: a node is Ready a second after its kubelet restarts.

pub(crate) mod node;
