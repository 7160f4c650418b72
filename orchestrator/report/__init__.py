"""A comparison as files: tables, figures, pages. Starts no Ray and no Keras and reads no store."""
