"""The marts, and how a mart is built, checked and published."""
