"""Test helpers, without tests."""
