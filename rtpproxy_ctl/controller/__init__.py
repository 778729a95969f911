"""The RTP controller: one RTPProxy to the outside, many nodes behind it. See docs/rtp.md."""
