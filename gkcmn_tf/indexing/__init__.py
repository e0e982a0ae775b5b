"""Indexes of videos: encoding a folder of videos, and searching it by sentences."""
