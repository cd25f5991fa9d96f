//! Placeholder of the code generator.
/// Runs it.
pub fn run(_args: &[String]) -> anyhow::Result<()> {
    anyhow::bail!("not here yet")
}
