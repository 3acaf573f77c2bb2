"""Files of certificates: checked when the settings are read, before a client tries them."""

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: who signs a server's certificate, and a certificate of ours with its key."""

    ca: Path | None
    certificate: Path | None
    key: Path | None

    def __bool__(self) -> bool:
        return any((self.ca, self.certificate, self.key))

    def check(self, place: str, *, is_encrypted: bool) -> None:
        """Raise ValueError, which names no file, where they cannot be used.

        `place`: what must say that the server is spoken to by TLS.
        """
        if self and not is_encrypted:
            raise ValueError(f"files of certificates belong to {place}")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("the file of a certificate and that of its key belong together")
        if self:
            self.context()

    def context(self) -> ssl.SSLContext:
        """What connections are made with. Raises ValueError where a file cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None:
                # Without a password OpenSSL would ask the terminal for that of a key.
                context.load_cert_chain(self.certificate, self.key, password="")
        except OSError:
            message = "a file of certificates, or the key, cannot be read"
            raise ValueError(message) from None
        return context

    def texts(self) -> tuple[str | None, str | None, str | None]:
        """The paths as texts, for clients that open the files themselves."""
        paths = (self.ca, self.certificate, self.key)
        ca, certificate, key = (None if path is None else str(path) for path in paths)
        return ca, certificate, key


NO_FILES = TlsFiles(None, None, None)
