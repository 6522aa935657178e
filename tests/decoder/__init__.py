# SPDX-License-Identifier: Apache-2.0
"""An independent reader of snapcrypt volumes, written from meta/FORMAT.md alone.

It shares no code with the C sources: what both agree on is what the document says.
"""
