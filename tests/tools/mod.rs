//! Programs of others that kup sends commands to or writes for, as they are: what they take and what they answer. They come with
//! `tests/run.sh`, and where one is missing its test says so.

mod dnf;
mod editors;
mod eks;
mod etcd;
mod treesitter;
