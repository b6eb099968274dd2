"""Commands of ``skin-lesions``, one module each. A command imports only what it needs."""
