//! Makes cargo notice new files in `sql/migrations`, which the binary embeds as a directory.

fn main() {
    println!("cargo:rerun-if-changed=sql/migrations");
}
