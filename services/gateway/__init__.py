"""The oversight gateway 政法委监督网关: sees every header and receipt, holds no dossier, stands in nobody's way."""
