"""Parts of ks-dial, the campaign engine."""
